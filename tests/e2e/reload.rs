//! SIGHUP, sent to a server: what its configuration changes at once, what it does not, and what a
//! bad one does.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::answers::same;
use crate::leftovers::stop_without_a_trace;
use crate::problem::Problem;
use crate::server::{POLL, Server, Setup};
use crate::world::{fixture, folder};

/// The longest until a server has read its configuration again.
const READ_WAIT: Duration = Duration::from_secs(10);

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(name, move || test().map_err(Failed::from))
    };
    vec![
        trial("after a SIGHUP calls have the limits that the file says now", limits_change),
        trial(
            "a file with problems changes nothing and all of them are logged",
            problems_are_logged,
        ),
        trial(
            "a change that cannot be applied is logged as refused and changes nothing",
            refused_change_is_not_logged_as_made,
        ),
    ]
}

/// A server, and the folder that its configuration lies in.
struct Own {
    server: Server,
    folder: TempDir,
}

impl Own {
    fn start() -> Result<Self, String> {
        let folder = folder()?;
        let repositories = folder.path().join("repositories");
        fixture(&repositories, "faulty")?;
        let setup = Setup::new(&["git"]).mirror("example.test", repositories.to_string_lossy());
        let server = Server::start(folder.path(), &setup)?;
        Ok(Self { server, folder })
    }

    /// Has the server read a text that `change` makes of its configuration, and gives what it logs
    /// until `end` is in it.
    fn reload(&self, change: impl Fn(Value) -> String, end: &str) -> Result<String, String> {
        let path = self.folder.path().join("config.json");
        let text = fs::read(self.folder.path().join("first.json"))
            .or_else(|_| {
                fs::copy(&path, self.folder.path().join("first.json"))?;
                fs::read(&path)
            })
            .map_err(|e| e.to_string())?;
        let first = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        fs::write(&path, change(first)).map_err(|e| e.to_string())?;
        let before = self.server.log().len();
        let server = Pid::from_raw(self.server.pid().cast_signed());
        kill(server, Signal::SIGHUP).map_err(|e| e.to_string())?;
        let begin = Instant::now();
        loop {
            let log = self.server.log().split_off(before);
            if log.contains(end) {
                return Ok(log);
            }
            if begin.elapsed() > READ_WAIT {
                return Err(format!("{end:?} is not in the log after {READ_WAIT:?}: {log}"));
            }
            sleep(POLL);
        }
    }

    /// What a call of the module comes to: what it prints, or the code of its failure.
    fn outcome(&self, call: &str) -> Result<String, String> {
        let answer =
            self.server.client.call(&json!({"url": "example.test/faulty", "call": call}))?;
        if answer.status != 200 {
            return Ok(Problem::read(&answer)?.code);
        }
        Ok(answer.data()?["data"].as_str().unwrap_or_default().to_owned())
    }
}

fn has(log: &str, parts: &[&str]) -> Result<(), String> {
    match parts.iter().find(|part| !log.contains(**part)) {
        Some(part) => Err(format!("{part:?} is not in the log: {log}")),
        None => Ok(()),
    }
}

const READ: &str = "the configuration was read again";

fn limits_change() -> Result<(), String> {
    let own = Own::start()?;
    let (sleep, long) = ("Sleep(2 * time.Second)", "Long(5000)");
    same(own.outcome(sleep)?, "slept".into())?;
    same(own.outcome(long)?.len(), 5000)?;
    let stricter = |mut config: Value| {
        config["jails"]["exec_timeout"] = "1s".into();
        config["limits"]["output"] = "1KiB".into();
        config["limits"]["memory"] = "48MiB".into();
        config["limits"]["calls"] = 7.into();
        config["standby"]["total"] = 0.into();
        config["admin_api_token"] = "hush-hush".into();
        config.to_string()
    };
    let log = own.reload(stricter, READ)?;
    has(
        &log,
        &[
            "jails.exec_timeout has changed",
            "limits.memory has changed",
            r#""from":"\"256MiB\"","to":"\"48MiB\"""#,
            "standby.total has changed",
            "limits.calls has a new value in the configuration; restart the server to apply it",
        ],
    )?;
    if log.contains("hush-hush") {
        return Err(format!("the token is in the log: {log}"));
    }
    same(own.outcome(sleep)?, "deadline".into())?;
    same(own.outcome(long)?, "output".into())?;
    same(own.outcome("Allocate()")?, "out_of_memory".into())?;
    same(own.outcome("Fine()")?, "fine".into())?;
    let log = own.reload(|config| config.to_string(), READ)?;
    has(&log, &["jails.exec_timeout has changed", "limits.output has changed"])?;
    same(own.outcome(sleep)?, "slept".into())?;
    same(own.outcome(long)?.len(), 5000)?;
    stop_without_a_trace(&own.server)
}

fn problems_are_logged() -> Result<(), String> {
    let own = Own::start()?;
    same(own.outcome("Fine()")?, "fine".into())?;
    let stays = "the configuration stays as it was";
    let bad = |mut config: Value| {
        config["jails"]["exec_timeout"] = "soon".into();
        config["limits"]["memroy"] = "1GiB".into();
        config["limits"]["output"] = "1KiB".into();
        format!("{config:#}")
    };
    let log = own.reload(bad, stays)?;
    has(
        &log,
        &[
            "jails.exec_timeout: \\\"soon\\\" is not a duration",
            "did you mean memory?",
            "config.json:",
        ],
    )?;
    same(own.outcome("Long(5000)")?.len(), 5000)?;
    own.reload(|_| "{".into(), stays)?;
    fs::remove_file(own.folder.path().join("config.json")).map_err(|e| e.to_string())?;
    let server = Pid::from_raw(own.server.pid().cast_signed());
    kill(server, Signal::SIGHUP).map_err(|e| e.to_string())?;
    let shorter = |mut config: Value| {
        config["limits"]["output"] = "1KiB".into();
        config.to_string()
    };
    own.reload(shorter, READ)?;
    same(own.outcome("Long(5000)")?, "output".into())?;
    stop_without_a_trace(&own.server)
}

fn refused_change_is_not_logged_as_made() -> Result<(), String> {
    let own = Own::start()?;
    let with_token = |mut config: Value| {
        config["admin_api_token"] = "a-configured-token".into();
        config.to_string()
    };
    let log = own.reload(with_token, READ)?;
    has(&log, &["admin_api_token has changed"])?;
    // Without the key the token is the one of this file, and a folder in its place cannot be read.
    let file = own.server.state().join("admin-token");
    fs::remove_file(&file).map_err(|e| e.to_string())?;
    fs::create_dir(&file).map_err(|e| e.to_string())?;
    let without_token = |mut config: Value| {
        config["limits"]["output"] = "1KiB".into();
        config.to_string()
    };
    let log = own.reload(without_token, READ)?;
    has(&log, &["limits.output has changed", "admin_api_token keeps its value", "admin-token"])?;
    if log.contains("admin_api_token has changed") {
        return Err(format!("the log says that a refused change was made: {log}"));
    }
    same(own.outcome("Long(5000)")?, "output".into())?;
    fs::remove_dir(&file).map_err(|e| e.to_string())?;
    // The change is still due, so the next reload makes it.
    let log = own.reload(without_token, READ)?;
    has(&log, &["admin_api_token has changed"])?;
    stop_without_a_trace(&own.server)
}
