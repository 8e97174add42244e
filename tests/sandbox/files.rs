//! What a function sees of files.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::host::{limits, not_given, promise};

#[derive(Deserialize)]
struct Filled {
    bytes: u64,
    error: String,
}

#[derive(Deserialize)]
struct Crowd {
    files: u64,
    error: String,
}

#[test]
fn a_function_sees_no_file_of_the_host() {
    promise(|host| {
        let found: BTreeMap<String, Vec<String>> = host.ask(&["list", "/", "/dev", "/tmp"]);
        let mut root = vec!["dev", "tmp"];
        root.extend(host.has_zones().then_some("zoneinfo.zip"));
        assert_eq!(found["/"], root);
        assert_eq!(found["/dev"], ["null", "random", "urandom", "zero"]);
        assert!(found["/tmp"].is_empty(), "{found:?}");
        let paths = ["/proc", "/proc/self/exe", "/sys", "/etc/passwd", "/usr", "/..", "/tmp/.."];
        let deed: Vec<&str> = ["see"].into_iter().chain(paths).collect();
        let found: BTreeMap<String, String> = host.ask(&deed);
        for path in &paths[..5] {
            assert_eq!(found[*path], "absent", "{path}");
        }
        let whole = format!("a folder of {}", root.len());
        assert_eq!((&found["/.."], &found["/tmp/.."]), (&whole, &whole));
    });
}

#[test]
fn the_devices_of_a_function_do_what_they_are_for() {
    promise(|host| {
        let found: BTreeMap<String, String> = host.ask(&["devices"]);
        assert_eq!(found.len(), 4);
        for (device, said) in found {
            assert_eq!(said, "done", "{device}");
        }
    });
}

#[test]
fn a_function_changes_nothing_outside_its_tmp() {
    promise(|host| {
        let changed: Vec<String> = host.ask(&["writable", "/tmp"]);
        assert!(changed.is_empty(), "{changed:?}");
    });
}

#[test]
fn a_functions_tmp_takes_as_many_bytes_as_it_may() {
    promise(|host| {
        let found: Filled = host.ask(&["fill", "/tmp/large"]);
        let most = limits().tmp;
        assert!(found.bytes <= most && found.bytes >= most / 10 * 9, "{}", found.bytes);
        assert!(found.error.contains("no space left") || found.error.contains("too large"));
    });
}

#[test]
fn a_functions_tmp_takes_a_bounded_number_of_files() {
    promise(|host| {
        let found: Crowd = host.ask(&["crowd", "/tmp"]);
        assert!((100..10_000).contains(&found.files), "{}", found.files);
        assert!(!found.error.is_empty());
    });
}

#[test]
fn a_functions_tmp_is_empty_at_each_start() {
    promise(|host| {
        for _ in 0..2 {
            let found: BTreeMap<String, Vec<String>> = host.ask(&["list", "/tmp"]);
            assert!(found["/tmp"].is_empty(), "{found:?}");
            let made: BTreeMap<String, String> = host.ask(&["write", "/tmp/left"]);
            assert_eq!(made["/tmp/left"], "done");
        }
    });
}

#[test]
fn a_function_runs_nothing_that_it_wrote() {
    promise(|host| {
        let said: String = host.ask(&["run-from", "/tmp"]);
        assert_eq!(said, "permission denied");
    });
}

#[test]
fn a_function_sees_the_time_zones_where_the_host_has_them() {
    promise(|host| {
        if !host.has_zones() {
            return not_given("time zones", "this toolchain has no zoneinfo.zip");
        }
        let found: BTreeMap<String, String> = host.ask(&["see", "/zoneinfo.zip"]);
        assert!(found["/zoneinfo.zip"].starts_with("reads PK"));
    });
}
