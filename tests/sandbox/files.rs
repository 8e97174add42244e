//! What a function sees of files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;

use super::host::{limits, not_given, not_installed, promise};
use super::platform;

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
        platform::check_root(host, &found["/"]);
        assert_eq!(found["/dev"], ["null", "random", "urandom", "zero"]);
        assert!(found["/tmp"].is_empty(), "{found:?}");
        let whole = format!("a folder of {}", found["/"].len());
        let deed: Vec<&str> =
            ["see", "/..", "/tmp/.."].iter().chain(platform::ABSENT).copied().collect();
        let found: BTreeMap<String, String> = host.ask(&deed);
        assert_eq!((&found["/.."], &found["/tmp/.."]), (&whole, &whole));
        for path in platform::ABSENT {
            assert_eq!(found[*path], "absent", "{path}");
        }
    });
}

#[test]
fn a_function_finds_nothing_that_was_put_on_the_host() {
    promise(|host| {
        let markers = Markers::put();
        let deed: Vec<&str> = ["see"].into_iter().chain(markers.paths()).collect();
        let found: BTreeMap<String, String> = host.ask(&deed);
        for (path, seen) in found {
            assert_eq!(seen, "absent", "{path}");
        }
        let found: Vec<String> = host.ask(&["find", &markers.name]);
        assert!(found.is_empty(), "{found:?}");
    });
}

/// Files of one name, which no other file has, in folders of the host that strangers like to look
/// at.
pub struct Markers {
    name: String,
    files: Vec<PathBuf>,
}

impl Markers {
    pub fn put() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sky-island-marker-{}-{number}", std::process::id());
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let folders = platform::MARKED.iter().map(PathBuf::from);
        let folders = folders.chain(home).chain([std::env::temp_dir()]);
        let files = folders.map(|folder| folder.join(&name));
        // An ordinary user may write to few of them.
        let files: Vec<_> = files.filter(|file| std::fs::write(file, "secret").is_ok()).collect();
        assert!(!files.is_empty(), "there is a folder for temporary files");
        Self { name, files }
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(|file| file.to_str())
    }
}

impl Drop for Markers {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
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
        assert_eq!(but_dates(changed), [""; 0]);
    });
}

/// What was changed, without the dates that cannot be kept from changing, which are said.
pub fn but_dates(mut changed: Vec<String>) -> Vec<String> {
    let all = changed.len();
    changed.retain(|change| !platform::DATED_BY_USE.contains(&change.as_str()));
    if changed.len() < all {
        not_given("dates of the shared devices", "they change when a device is written to");
    }
    changed
}

#[test]
fn a_functions_tmp_takes_as_many_bytes_as_it_may() {
    promise(|host| {
        let found: Filled = host.ask(&["fill", "/tmp/large"]);
        let most = limits().resources.tmp;
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
fn a_function_has_the_time_zones_where_the_host_has_them() {
    promise(|host| {
        if !host.has_zones() {
            return not_installed("time zones", "this toolchain has no zoneinfo.zip");
        }
        for zone in ["Europe/Berlin", "America/New_York", "Asia/Kolkata"] {
            assert_eq!(host.ask::<String>(&["zone", zone]), "done", "{zone}");
        }
    });
}
