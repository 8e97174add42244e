//! `sky-island config` and the flags of `serve`.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

/// The program, in an environment without our variables.
fn program(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sky-island"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SKY_ISLAND_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

struct File(tempfile::TempDir);

impl File {
    fn with(content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c.json"), content).unwrap();
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.path().join("c.json").display().to_string()
    }
}

#[test]
fn check_names_every_problem_and_says_whose_fault_it_is() {
    let bad =
        File::with("{\n\"limits\": {\"memroy\": 1},\n\"jails\": {\"exec_timeout\": \"soon\"}}");
    let path = bad.path();
    let output = program(&["config", "check", "-c", &path], &[("SKY_ISLAND_GO_WARM", "perhaps")]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        format!("{path}:2:12: limits.memroy: is not known; did you mean memory?"),
        format!("{path}:3:11: jails.exec_timeout: \"soon\" is not a duration"),
        "SKY_ISLAND_GO_WARM: go.warm: must be true or false, not \"perhaps\"".to_owned(),
    ] {
        assert!(said.contains(&part), "{part} is not in {said}");
    }
    let output = program(&["config", "check", "--json", "-c", &path], &[]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &answer["valid"]), (Some(2), &Value::Bool(false)));
    assert_eq!(answer["problems"][1]["key"], "jails.exec_timeout");
    assert_eq!(answer["problems"][1]["line"], 3);
    let missing = program(&["config", "check", "-c", "/nonexistent/c.json"], &[]);
    assert_eq!(missing.status.code(), Some(3));
}

#[test]
fn a_valid_file_is_said_to_be_one() {
    let good = File::with("{}");
    let output = program(&["config", "check", "-c", &good.path()], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("is a valid configuration"));
    let named = program(&["config", "check"], &[("SKY_ISLAND_CONFIG", &good.path())]);
    assert!(text(&named.stdout).contains(&good.path()));
    let output = program(&["config", "check"], &[("SKY_ISLAND_STATEDIR", "/x")]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("did you mean SKY_ISLAND_STATE_DIR?"));
}

#[test]
fn show_says_what_is_in_force_and_what_set_it() {
    let file =
        File::with("{\"admin_api_token\": \"hush\",\n\"limits\": {\"calls\": 7, \"fetches\": 7}}");
    let path = file.path();
    let arguments = [
        "config",
        "show",
        "-c",
        &path,
        "--exec-timeout",
        "9s",
        "--listen",
        "127.0.0.1:9",
        "--json",
    ];
    let variables = [("SKY_ISLAND_LIMITS_FETCHES", "9"), ("SKY_ISLAND_JAILS_EXEC_TIMEOUT", "8s")];
    let output = program(&arguments, &variables);
    let entries: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let shown = |key: &str| {
        let entry = entries.iter().find(|entry| entry["key"] == key).unwrap();
        (entry["value"].to_string(), entry["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(shown("limits.calls"), ("7".into(), format!("{path}:2")));
    assert_eq!(
        shown("limits.fetches"),
        ("9".into(), "environment SKY_ISLAND_LIMITS_FETCHES".into())
    );
    assert_eq!(shown("jails.exec_timeout"), ("\"9s\"".into(), "flag --exec-timeout".into()));
    assert_eq!(shown("listen"), ("\"127.0.0.1:9\"".into(), "flag --listen".into()));
    assert_eq!(shown("limits.output"), ("\"1MiB\"".into(), "default".into()));
    assert!(!text(&output.stdout).contains("hush"));
    let table = text(&program(&arguments[..4], &variables).stdout);
    let line = |key: &str| {
        let line = table.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        line("jails.exec_timeout")[1..],
        ["\"8s\"", "environment", "SKY_ISLAND_JAILS_EXEC_TIMEOUT"]
    );
    assert_eq!(line("filesystem.zfs_dataset")[1..], ["(zroot)", "default"]);
    assert!(!table.contains("hush") && table.contains("\"********\""), "{table}");
}

#[test]
fn serve_refuses_a_flag_that_makes_no_sense_by_its_name() {
    let output = program(&["serve", "--concurrency", "few", "--state-dir", "here"], &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("--concurrency: limits.concurrency: must be a whole number, not \"few\""),
        "{said}"
    );
    assert!(said.contains("--state-dir: state_dir: must be an absolute path"), "{said}");
}
