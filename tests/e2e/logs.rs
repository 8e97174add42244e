//! The log of a real run: one line a call, nothing of what is secret, and a file that is opened
//! anew.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::answers::same;
use crate::client::{Answer, STAGES};
use crate::leftovers::stop_without_a_trace;
use crate::server::{POLL, Server, Setup};
use crate::world::{fixture, folder};

const HELLO: &str = "example.test/hello";
const FAULTY: &str = "example.test/faulty";
/// How long a line may be behind its answer.
const LINE_WAIT: Duration = Duration::from_secs(10);
/// What must not be in a log.
const SECRET: &str = "hunter2correcthorse";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("log: each call has one line, and none has a token or a body", || {
            one_line_a_call().map_err(Failed::from)
        }),
        Trial::test("log: its file is opened anew at SIGHUP", || reopened().map_err(Failed::from)),
        Trial::test("log: a destination that is full, closed or not read harms no call", || {
            hindered().map_err(Failed::from)
        }),
        Trial::test("log: a file that cannot be written is said at the start", || {
            unwritable().map_err(Failed::from)
        }),
    ]
}

/// The one line with this in it, which may come a moment after the answer.
pub(crate) fn line(log: impl Fn() -> String, what: &str) -> Result<Value, String> {
    let began = Instant::now();
    loop {
        let log = log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<_> = whole.lines().filter(|line| line.contains(what)).collect();
        match lines[..] {
            [line] => return serde_json::from_str(line).map_err(|e| format!("{line}: {e}")),
            [] if began.elapsed() < LINE_WAIT => sleep(POLL),
            _ => return Err(format!("{} lines have {what}: {lines:?}", lines.len())),
        }
    }
}

/// A log on a full disk, on a closed pipe, and on a pipe that nothing reads.
fn hindered() -> Result<(), String> {
    let full = File::options().write(true).open("/dev/full").map_err(|e| e.to_string())?;
    let (reader, closed) = std::io::pipe().map_err(|e| e.to_string())?;
    drop(reader);
    let (_reader, unread) = std::io::pipe().map_err(|e| e.to_string())?;
    let logs: [(&str, OwnedFd); 3] =
        [("full", full.into()), ("closed", closed.into()), ("not read", unread.into())];
    for (what, log) in logs {
        let folder = folder()?;
        let server = Server::start_with_log(folder.path(), &setup(folder.path())?, log)?;
        // Several times what a pipe holds.
        for _ in 0..1000 {
            let answer = server.client.post(b"[").map_err(|e| format!("{what}: {e}"))?;
            same((what, answer.status), (what, 400))?;
        }
        same((what, ask(&server, HELLO, "Which()")?.status), (what, 200))?;
        same((what, server.client.get("/healthcheck")?.status), (what, 200))?;
        stop_without_a_trace(&server).map_err(|e| format!("{what}: {e}"))?;
    }
    Ok(())
}

/// A server whose log is a file.
fn start(folder: &Path) -> Result<Server, String> {
    let setup = setup(folder)?.section("log", json!({"file": folder.join("own.log")}));
    Server::start(folder, &setup)
}

fn setup(folder: &Path) -> Result<Setup, String> {
    let repositories = folder.join("repositories");
    for name in ["hello", "faulty"] {
        fixture(&repositories, name)?;
    }
    Ok(Setup::new(&["git"]).mirror("example.test", repositories.to_string_lossy()))
}

fn ask(server: &Server, url: &str, call: &str) -> Result<Answer, String> {
    let body = json!({"url": url, "call": call}).to_string();
    server.client.post_with(("x-sky-island-token", SECRET), body.as_bytes())
}

fn one_line_a_call() -> Result<(), String> {
    let folder = folder()?;
    let server = start(folder.path())?;
    let log = || fs::read_to_string(folder.path().join("own.log")).unwrap_or_default();
    let id = |answer: &Answer| answer.header("x-call-id").map(str::to_owned);

    let greet = format!("Greet({SECRET:?})");
    let first = ask(&server, HELLO, &greet)?;
    same(first.status, 200)?;
    let answered = line(log, &id(&first)?)?;
    same(answered["message"].as_str(), Some("answered"))?;
    same(answered["outcome"].as_str(), Some("ok"))?;
    same(answered["module"].as_str(), Some(HELLO))?;
    same(answered["revision"].as_str(), Some(first.header("x-revision")?))?;
    same(answered["island"].as_str(), Some("cold"))?;
    let timing = first.timing()?;
    for stage in STAGES {
        same((stage, answered[stage].as_f64()), (stage, timing.get(stage).copied()))?;
    }
    // When one is warm for it.
    let began = Instant::now();
    loop {
        let next = ask(&server, HELLO, &greet)?;
        let line = line(log, &id(&next)?)?;
        if line["island"] == "warm" {
            break;
        }
        if began.elapsed() > LINE_WAIT {
            return Err(format!("no call is served by a warm island: {line}"));
        }
        sleep(POLL);
    }

    let panic = format!("Panic({SECRET:?})");
    let build = format!("Add({SECRET:?}, 1)");
    let exact = format!("Panic({SECRET:?} + {SECRET:?})");
    let bad = format!("Greet({SECRET:?}");
    for (url, call, stage, outcome) in [
        (FAULTY, panic.as_str(), Some("run"), "panicked"),
        (FAULTY, &exact, Some("run"), "panicked"),
        (FAULTY, &build, Some("build"), "build"),
        ("example.test/nothing", "Which()", Some("fetch"), "repository"),
        (HELLO, &bad, None, "call"),
    ] {
        let answer = ask(&server, url, call)?;
        let line = line(log, &id(&answer)?)?;
        same((call, line["outcome"].as_str()), (call, Some(outcome)))?;
        same((call, line["stage"].as_str()), (call, stage))?;
        if line["reason"].as_str().is_none_or(str::is_empty) {
            return Err(format!("{call}: no reason in {line}"));
        }
    }
    let garbage = format!("{{\"url\": \"{HELLO}\", \"password\": \"{SECRET}\"}}");
    for body in [garbage.as_bytes(), SECRET.as_bytes()] {
        let answer = server.client.post(body)?;
        same(line(log, &id(&answer)?)?["message"].as_str(), Some("refused"))?;
    }
    stop_without_a_trace(&server)?;
    for (name, log) in [("the file", log()), ("stderr", server.log())] {
        if let Some(line) = log.lines().find(|line| line.contains(SECRET)) {
            return Err(format!("{name} has a secret: {line}"));
        }
    }
    same(server.log().as_str(), "")?;
    let all = log();
    let broken = all.lines().find(|line| serde_json::from_str::<Value>(line).is_err());
    same(broken, None)
}

fn reopened() -> Result<(), String> {
    let folder = folder()?;
    let server = start(folder.path())?;
    let (now, then) = (folder.path().join("own.log"), folder.path().join("own.log.0"));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let first = ask(&server, HELLO, "Which()")?;
    line(|| read(&now), first.header("x-call-id")?)?;
    fs::rename(&now, &then).map_err(|e| e.to_string())?;
    let second = ask(&server, HELLO, "Which()")?;
    line(|| read(&then), second.header("x-call-id")?)?;
    kill(Pid::from_raw(server.pid().cast_signed()), Signal::SIGHUP).map_err(|e| e.to_string())?;
    let began = Instant::now();
    while !now.exists() && began.elapsed() < LINE_WAIT {
        sleep(POLL);
    }
    let third = ask(&server, HELLO, "Which()")?;
    line(|| read(&now), third.header("x-call-id")?)?;
    same(read(&then).contains(third.header("x-call-id")?), false)?;
    // A file that is in the way of nothing but a folder of its name.
    fs::remove_file(&now).and_then(|()| fs::create_dir(&now)).map_err(|e| e.to_string())?;
    kill(Pid::from_raw(server.pid().cast_signed()), Signal::SIGHUP).map_err(|e| e.to_string())?;
    let fourth = ask(&server, HELLO, "Which()")?;
    same(fourth.status, 200)?;
    stop_without_a_trace(&server)
}

fn unwritable() -> Result<(), String> {
    let folder = folder()?;
    let path = folder.path().join("no/such/folder/log");
    let setup = Setup::new(&["git"]).section("log", json!({"file": path}));
    let error = Server::start(folder.path(), &setup).map(|_| ()).expect_err("it has started");
    match error.contains("log.file") && error.contains("exit status: 2") {
        true => Ok(()),
        false => Err(format!("it says: {error}")),
    }
}
