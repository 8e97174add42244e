//! Configurations put together from files, variables and flags: what comes of them, and what is
//! said of mistakes.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::settings::Entry;

/// A folder with a configuration file.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c.json"), text).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("c.json")
    }

    fn inputs(&self, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Inputs {
        let pair = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let flag = |(path, text): &(&str, &str)| ((*path).to_owned(), vec![(*text).to_owned()]);
        Inputs {
            file: Some(self.path()),
            environment: variables.iter().map(pair).collect(),
            flags: flags.iter().map(flag).collect(),
        }
    }

    /// What is said against it, without the folder's name.
    fn problems(&self, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
        match self.inputs(variables, flags).read() {
            Err(ConfigError::Invalid(problems)) => {
                let folder = format!("{}/", self.0.path().display());
                problems.iter().map(|it| it.to_string().replace(&folder, "")).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn read(text: &str) -> Settings {
    Folder::with(text).inputs(&[], &[]).read().unwrap()
}

fn problems(text: &str) -> Vec<String> {
    Folder::with(text).problems(&[], &[])
}

fn entry(settings: &Settings, key: &str) -> Entry {
    settings.entries().into_iter().find(|entry| entry.key == key).unwrap()
}

#[test]
fn the_2017_servers_example_is_accepted_as_it_stands() {
    let example = r#"{
        "release": "11.1-RELEASE", "http_port": 3280, "admin_api_token": "asdfasdfasdfasdf",
        "admin_token_header": "X-Sky-Island-Token", "go_version": "1.9.2", "base_sys_pkg_dir": "/tmp/11.1-RELEASE",
        "filesystem": {"zfs_dataset": "zroot", "compression": false},
        "network": {"ip4": {"interface": "em0", "start_addr": "192.168.0.20", "mask": "255.255.255.0",
            "range": 220, "gateway": "192.168.0.1", "dns": ["4.2.2.1", "4.2.2.2"]}},
        "jails": {"base_jail_dir": "/zroot/jails", "cache_default_expiration": "8h", "cache_purge_after": "24h",
            "children_max": 0, "monitoring_addr": "127.0.0.1", "build_timeout": "10s", "exec_timeout": "5s"}}"#;
    let settings = read(example);
    assert_eq!(settings.config().endpoints()[0].to_string(), "0.0.0.0:3280");
    assert_eq!(settings.config().build_deadline(), Duration::from_secs(10));
}

#[test]
fn whatever_is_set_is_written_as_it_is_read() {
    let set = r#"{"listen": "[::1]:80", "go_version": "1.26.7", "go_mirror": "https://m.example/go",
        "go_sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "base_packages": ["base", "lib32"],
        "go_tarball": "/x/go.tar.gz", "limits": {"tmp": "1025B"}, "jails": {"exec_timeout": "1m 30s", "address_space": "1GiB"},
        "sources": {"order": ["proxy"], "mirrors": [{"prefix": "a.b", "target": "/srv"}]},
        "network": {"ip4": {"interface": "em0", "start_addr": "10.0.0.5", "mask": "255.255.255.0", "range": 9},
            "pools": [{"interface": "em1", "network": "fd00::/64", "exclude": ["fd00::1"], "dns": ["fd00::2"]}]}}"#;
    let written = serde_json::to_value(read(set).config()).unwrap();
    let again = read(&written.to_string());
    assert_eq!(serde_json::to_value(again.config()).unwrap(), written);
    assert_eq!(written["jails"]["exec_timeout"], "1m 30s");
}

#[test]
fn all_problems_are_reported_at_once_each_with_its_path_and_line() {
    let text = r#"{
  "limits": {"memroy": "1GiB", "calls": "many",
             "builds": 0, "processes": -1, "memory": "1KiB"},
  "jails": {"exec_timeout": 10, "build_timeout": "soon", "children_max": 3},
  "http_port": 70000,
  "state_dir": "here",
  "go": {"warm": "yes"},
  "sources": {"order": ["git", "prxy"], "mirrors": [
    {"prefix": "a.b"},
    {"prefix": "a.b", "target": "http://elsewhere/x", "weight": 1}]},
  "network": {"ip4": {"interface": "em0", "mask": "255.255.255.300"}}
}"#;
    let expected = [
        r#"c.json:2:14: limits.memroy: is not known; did you mean memory?"#,
        r#"c.json:2:32: limits.calls: must be a whole number, not "many""#,
        r#"c.json:3:14: limits.builds: must be at least 1, not 0"#,
        r#"c.json:3:27: limits.processes: must be a whole number, not -1"#,
        r#"c.json:3:44: limits.memory: must be at least 16MiB, not 1KiB: a Go program does not start with less"#,
        r#"c.json:4:13: jails.exec_timeout: must be a duration such as "10s" or "8h", not 10"#,
        r#"c.json:4:33: jails.build_timeout: "soon" is not a duration such as 10s or 8h: expected number at 0"#,
        r#"c.json:4:58: jails.children_max: must be 0, for islands make no islands"#,
        r#"c.json:5:3: http_port: must be a whole number up to 65535, not 70000"#,
        r#"c.json:6:3: state_dir: must be an absolute path"#,
        r#"c.json:7:10: go.warm: must be true or false, not "yes""#,
        r#"c.json:8:32: sources.order[1]: must be "git" or "proxy", not "prxy"; did you mean "proxy"?"#,
        r#"c.json:9:5: sources.mirrors[0].target: must be set"#,
        r#"c.json:10:55: sources.mirrors[1].weight: is not known; the keys here are: prefix, target"#,
        r#"c.json:11:15: network.ip4.start_addr: must be set"#,
        r#"c.json:11:15: network.ip4.range: must be set"#,
        r#"c.json:11:43: network.ip4.mask: "255.255.255.300": invalid IPv4 address syntax"#,
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    for (text, meant) in [
        (r#"{"exec_timeout": "5s"}"#, "did you mean jails.exec_timeout?"),
        (r#"{"Limits": {}}"#, "did you mean limits?"),
        (r#"{"state-dir": null}"#, "did you mean state_dir?"),
        (r#"{"standby": {"per_funktion": 1}}"#, "did you mean per_function?"),
        (r#"{"standby": {"zebra": 1}}"#, "the keys here are: idle, memory, per_function, total"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains(meant), "{text}: {found:?}");
    }
}

#[test]
fn a_file_that_is_no_json_object_is_reported_with_the_position() {
    assert_eq!(problems("{\n  \"a\" 1}"), ["c.json:2:7: the file is not JSON: expected `:`"]);
    assert_eq!(problems("[]"), ["c.json:1:1: the file must be a JSON object"]);
    let twice = "{\"release\": \"15.1-RELEASE\",\n\"release\": \"15.0-RELEASE\"}";
    assert_eq!(
        problems(twice),
        ["c.json:2:1: release: is given twice, first in line 1; remove one"]
    );
    let missing = Inputs { file: Some("/nonexistent/c.json".into()), ..Inputs::default() };
    assert!(matches!(missing.read(), Err(ConfigError::Read(..))));
}

#[test]
fn a_null_counts_as_not_set() {
    let settings = read(
        r#"{"release": null, "jails": {"exec_timeout": null}, "network": {"ip4": {"interface": null}}}"#,
    );
    let timeout = entry(&settings, "jails.exec_timeout");
    assert_eq!((timeout.value, &*timeout.source), (json!("5s"), "default"));
    assert!(settings.config().network.ip4.is_none());
    assert!(
        problems(r#"{"network": {"pools": [null]}}"#)[0].contains("must be an object, not null")
    );
    assert!(problems(r#"{"network": {"pools": [{}]}}"#)[0].contains("interface: must be set"));
}

#[test]
fn flags_are_over_the_environment_over_the_file_over_defaults() {
    let folder = Folder::with(r#"{"limits": {"calls": 1, "builds": 1, "fetches": 1}}"#);
    let variables = [
        ("SKY_ISLAND_LIMITS_BUILDS", "2"),
        ("SKY_ISLAND_LIMITS_FETCHES", "2"),
        ("SKY_ISLAND_GO_WARM", ""),
    ];
    let settings = folder.inputs(&variables, &[("limits.fetches", "3")]).read().unwrap();
    let shown = |key: &str| {
        let entry = entry(&settings, key);
        (entry.value, entry.source.replace(&format!("{}/", folder.0.path().display()), ""))
    };
    assert_eq!(shown("limits.calls"), (json!(1), "c.json:1".into()));
    assert_eq!(shown("limits.builds"), (json!(2), "environment SKY_ISLAND_LIMITS_BUILDS".into()));
    assert_eq!(shown("limits.fetches"), (json!(3), "flag --limits.fetches".into()));
    assert_eq!(shown("limits.processes"), (json!(64), "default".into()));
    assert_eq!(shown("go.warm"), (json!(true), "default".into()));
}

#[test]
fn problems_of_variables_and_flags_are_named_by_them() {
    let folder = Folder::with(r#"{"limits": 5}"#);
    let variables = [("SKY_ISLAND_JAILS_EXEC_TIMEOUT", "soon"), ("SKY_ISLAND_LIMITS_CALLS", "1")];
    let found = folder.problems(&variables, &[("jails.build_timeout", "0s")]);
    let expected = [
        "c.json:1:2: limits: must be an object, not 5",
        r#"--build-timeout: jails.build_timeout: "0s": a duration must be longer than 0; write one such as 10s"#,
        r#"SKY_ISLAND_JAILS_EXEC_TIMEOUT: jails.exec_timeout: "soon" is not a duration such as 10s or 8h: expected number at 0"#,
    ];
    assert_eq!(found, expected);
}

#[test]
fn values_that_a_server_could_not_start_with_are_problems_of_the_file() {
    let text = r#"{"admin_api_token": "", "admin_token_header": "two words", "jails": {"monitoring_addr": "a b"}}"#;
    let found = problems(text);
    let keys = [
        "admin_api_token: must not be empty",
        "admin_token_header: \"two words\"",
        "jails.monitoring_addr: ",
    ];
    assert_eq!(found.len(), keys.len(), "{found:?}");
    for key in keys {
        assert!(found.iter().any(|problem| problem.contains(key)), "{key} is not in {found:?}");
    }
    let unsendable = problems("{\"admin_api_token\": \"caf\u{e9}\"}");
    assert!(unsendable[0].contains("visible ASCII"), "{unsendable:?}");
}

#[test]
fn a_port_wins_over_the_address_of_a_weaker_source_alone() {
    let folder = Folder::with(r#"{"listen": "127.0.0.1:1", "http_port": 2}"#);
    let address = |variables: &[_], flags: &[_]| {
        folder.inputs(variables, flags).read().unwrap().config().endpoints()[0].to_string()
    };
    assert_eq!(address(&[], &[]), "127.0.0.1:1");
    assert_eq!(address(&[("SKY_ISLAND_HTTP_PORT", "3")], &[]), "0.0.0.0:3");
    assert_eq!(
        address(&[("SKY_ISLAND_LISTEN", "127.0.0.1:4")], &[("http_port", "5")]),
        "0.0.0.0:5"
    );
    assert_eq!(
        address(&[("SKY_ISLAND_HTTP_PORT", "3")], &[("listen", "127.0.0.1:6")]),
        "127.0.0.1:6"
    );
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let folder = Folder::with("{}");
    let settings = folder
        .inputs(&[("SKY_ISLAND_STATEDIR", "/x"), ("SKY_ISLAND_BIN", "/y")], &[])
        .read()
        .unwrap();
    let expected = "the variable SKY_ISLAND_STATEDIR sets no key of the configuration; \
        did you mean SKY_ISLAND_STATE_DIR?";
    assert_eq!(settings.warnings(), [expected]);
}

#[test]
fn secrets_are_shown_nowhere() {
    let text = r#"{"admin_api_token": "hush", "go": {"proxy": "https://me:hush@proxy.example"},
        "sources": {"mirrors": [{"prefix": "a.b", "target": "https://me:hush@host.example/x"}]}}"#;
    let settings = read(text);
    let shown = format!("{:?} {:?} {}", settings, settings.entries(), json!(settings.entries()));
    assert!(!shown.contains("hush") && shown.contains("***@proxy.example"), "{shown}");
    assert_eq!(entry(&settings, "admin_api_token").value, json!("********"));
    let bare = read("{}");
    let changes = format!("{:?}", bare.changes(&settings));
    assert!(!changes.contains("hush") && changes.contains("admin_api_token"), "{changes}");
    for bad in [
        r#"{"admin_api_token": ["hush"]}"#,
        r#"{"sources": {"mirrors": [{"prefix": "a.b", "target": "http://me:hush@host.example/x"}]}}"#,
        r#"{"go_mirror": "http://me:hush@host.example/x"}"#,
    ] {
        let found = problems(bad);
        assert!(!found.join("").contains("hush"), "{found:?}");
    }
}

#[test]
fn settings_take_up_the_named_keys_of_another_configuration_alone() {
    let old = read(r#"{"limits": {"memory": "64MiB", "calls": 5}}"#);
    let new =
        read(r#"{"limits": {"memory": "128MiB", "calls": 6}, "jails": {"exec_timeout": "9s"}}"#);
    let changes = old.changes(&new);
    let named: Vec<_> = changes.iter().map(|it| (it.key, !it.appliers.is_empty())).collect();
    let expected = [("jails.exec_timeout", true), ("limits.calls", false), ("limits.memory", true)];
    assert_eq!(named, expected);
    assert_eq!((&*changes[2].from, &*changes[2].to), (r#""64MiB""#, r#""128MiB""#));
    let updated = old.with(&new, &["jails.exec_timeout", "limits.memory"]).unwrap();
    assert_eq!(updated.config().limits.memory.get(), 128 << 20);
    assert_eq!(updated.config().limits.calls, 5);
    assert!(entry(&updated, "limits.memory").source.contains("c.json:1"));
    // What needs a restart is named each time.
    let left: Vec<_> = updated.changes(&new).iter().map(|it| it.key).collect();
    assert_eq!(left, ["limits.calls"]);
    // What is taken out of the file has its default again.
    let bare = updated.with(&read("{}"), &["limits.memory"]).unwrap();
    assert_eq!(entry(&bare, "limits.memory").source, "default");
}
