//! Who asks for a call: the log and the metrics name the principal, and each call has one overall
//! deadline.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::answers::same;
use crate::client::written;
use crate::leftovers::stop_without_a_trace;
use crate::logs::line;
use crate::problem::Problem;
use crate::server::{Server, Setup};
use crate::world::{fixture, folder};

const HELLO: &str = "example.test/hello";
const FAULTY: &str = "example.test/faulty";
const TOKEN: &str = "a-token-of-the-tests";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("principals: the log and the metrics name who asks", || {
            named().map_err(Failed::from)
        }),
        Trial::test("principals: a call has one deadline over all its stages", || {
            overall_deadline().map_err(Failed::from)
        }),
    ]
}

fn setup(folder: &Path) -> Result<Setup, String> {
    let repositories = folder.join("repositories");
    for name in ["hello", "faulty"] {
        fixture(&repositories, name)?;
    }
    Ok(Setup::new(&["git"]).mirror("example.test", repositories.to_string_lossy()))
}

fn named() -> Result<(), String> {
    let folder = folder()?;
    let socket = folder.path().join("own.sock");
    let log = folder.path().join("own.log");
    let setup =
        setup(folder.path())?.unix(&socket).token(TOKEN).section("log", json!({"file": log}));
    let server = Server::start(folder.path(), &setup)?;
    let read = || fs::read_to_string(&log).unwrap_or_default();
    let principal =
        |id: &str| -> Result<Value, String> { Ok(line(read, id)?["principal"].clone()) };
    let by_address = server.client.call(&json!({"url": HELLO, "call": "Which()"}))?;
    same(principal(by_address.header("x-call-id")?)?, json!("127.0.0.1"))?;
    let refused = server.client.post(b"[")?;
    same(principal(refused.header("x-call-id")?)?, json!("127.0.0.1"))?;
    let id = over_socket(&socket)?;
    same(principal(&id)?, json!(format!("unix:{}", nix::unistd::getuid())))?;
    let metrics = server.client.get("/metrics")?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for (kind, count) in [("address", 2), ("unix", 1), ("admin", 0)] {
        let line = format!("sky_island_call_principals_total{{kind=\"{kind}\"}} {count}");
        if !metrics.lines().any(|it| it == line) {
            return Err(format!("{line} is not in\n{metrics}"));
        }
    }
    stop_without_a_trace(&server)
}

/// Calls a function over a unix socket; the id of the call.
fn over_socket(socket: &Path) -> Result<String, String> {
    let mut stream = UnixStream::connect(socket).map_err(|e| e.to_string())?;
    let request = written(HELLO, "Which()");
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    let id = answer.lines().find_map(|line| line.strip_prefix("x-call-id: "));
    id.map(str::to_owned).ok_or(answer)
}

fn overall_deadline() -> Result<(), String> {
    let folder = folder()?;
    let limits = json!({"queue_wait": "60s", "call_timeout": "700ms"});
    let server = Server::start(folder.path(), &setup(folder.path())?.limits(limits))?;
    let sleep = json!({"url": FAULTY, "call": "Sleep(4 * time.Second)"});
    // The first call may meet the deadline in any stage; fetch and build go on without it.
    let began = Instant::now();
    let in_run = loop {
        let problem = Problem::read(&server.client.call(&sleep)?)?;
        same(problem.code.as_str(), "deadline")?;
        let expected = format!("in stage {} (limits.call_timeout)", problem.stage);
        if !problem.detail.contains(&expected) {
            return Err(format!("{expected} is not in {}", problem.detail));
        }
        if problem.stage == "run" {
            break problem;
        }
        if began.elapsed() > Duration::from_secs(240) {
            return Err(format!("no call came to run: {}", problem.detail));
        }
    };
    if !in_run.detail.contains("overall time limit of 700 ms") {
        return Err(in_run.detail);
    }
    // The island of a call that ran out of time is gone with it.
    stop_without_a_trace(&server)
}
