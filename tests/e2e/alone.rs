//! Tests that need a server of their own: they count, restart, or fill it up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::answers::same;
use crate::client::{Answer, Client};
use crate::git_http::GitHttp;
use crate::leftovers::{Traces, named, stop_without_a_trace};
use crate::problem::Problem;
use crate::repositories::{Repository, fixtures};
use crate::server::{Server, Setup};
use crate::world::{fixture, folder};

/// How many clients call a new function at the same time.
const CROWD: usize = 100;
/// How many different calls of one package are new at the same time.
const BUILDS: usize = 60;
/// How many clients ask a server that runs one function at a time.
const QUEUE: usize = 6;
/// How much time a client's call may be late by, so that the first one is in before the others.
const HEAD_START: Duration = Duration::from_millis(500);
/// Longer than a version of one second is kept, which counts in whole seconds.
const EXPIRED: Duration = Duration::from_millis(2500);
/// The process that ends each build of the go command, which also starts it to ask its version
/// and then without this argument; and how often it is looked for.
const LINKER: &str = "link";
const LINKING: &str = "-o";
const LINKER_POLL: Duration = Duration::from_millis(10);
const HELLO: &str = "example.test/hello";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        alone(
            "a hundred simultaneous first calls cause one fetch and one build",
            a_crowd_is_served_at_once,
        ),
        alone("a restarted server answers a known call without its source", restart),
        alone("cache_bust sees a new commit, and calls without it do not", cache_bust),
        alone("an expired version is looked up, and built again only when it moved", expiry),
        alone("sixty different new calls at once are all answered", many_builds),
        alone("an interrupt of the server's whole group lets calls end", interrupt),
        alone("a full server answers 503 with Retry-After", busy),
    ]
}

fn alone(name: &str, test: fn() -> Result<(), String>) -> Trial {
    Trial::test(name, move || test().map_err(Failed::from))
}

/// A folder, a server on repositories below it, and where those are.
struct Own {
    server: Server,
    repositories: PathBuf,
    folder: TempDir,
}

impl Own {
    fn start(names: &[&str], setup: &Setup) -> Result<Self, String> {
        let folder = folder()?;
        let repositories = folder.path().join("repositories");
        for name in names {
            fixture(&repositories, name)?;
        }
        let setup = setup.clone().mirror("example.test", repositories.to_string_lossy());
        let server = Server::start(folder.path(), &setup)?;
        Ok(Self { server, repositories, folder })
    }
}

fn which() -> Value {
    json!({"url": HELLO, "call": "Which()"})
}

fn edition(answer: &Answer, expected: &str) -> Result<String, String> {
    same(answer.data()?, json!({"data": expected}))?;
    answer.header("x-revision").map(str::to_owned)
}

/// Makes the same call from many threads at once.
fn crowd(client: &Client, call: &Value, size: usize) -> Vec<Result<Answer, String>> {
    let body = call.to_string();
    thread::scope(|scope| {
        let ask = |_| scope.spawn(|| client.post(body.as_bytes()));
        let clients: Vec<_> = (0..size).map(ask).collect();
        let join = |client: thread::ScopedJoinHandle<'_, _>| {
            client.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
        };
        clients.into_iter().map(join).collect()
    })
}

/// Does something and counts the linkers that run meanwhile below a server: one for each build.
fn links_during<T>(server: u32, work: impl FnOnce() -> T) -> (T, usize) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let counter = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                seen.extend(named(server, LINKER, LINKING));
                thread::sleep(LINKER_POLL);
            }
            seen.len()
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        (done, counter.join().unwrap_or_default())
    })
}

fn a_crowd_is_served_at_once() -> Result<(), String> {
    let served = folder()?;
    for name in ["one", "many"] {
        let module = format!("counted.test/{name}");
        Repository::create(&served.path().join(format!("{name}.git")))
            .and_then(|mut made| made.commit(&fixtures().join("hello"), Some((HELLO, &module))))
            .map_err(|e| e.to_string())?;
    }
    let bridge = GitHttp::serve(served.path()).map_err(|e| e.to_string())?;
    let url = bridge.url("");
    let setup = Setup::new(&["git"]).mirror("counted.test", url.trim_end_matches('/'));
    let own = Own::start(&["hello"], &setup)?;
    let call = |name: &str| json!({"url": format!("counted.test/{name}"), "call": "Which()"});
    edition(&own.server.client.call(&call("one"))?, "first edition")?;
    // What a first start does in the background has to be over, for it is not to be counted.
    Traces::at_rest(&own.server)?;
    let (answers, links) =
        links_during(own.server.pid(), || crowd(&own.server.client, &call("many"), CROWD));
    let mut revisions = BTreeSet::new();
    for answer in answers {
        revisions.insert(edition(&answer?, "first edition")?);
    }
    if cfg!(target_os = "linux") {
        same(("linkers", links), ("linkers", 1))?;
    }
    same(revisions.len(), 1)?;
    if bridge.count("one") == 0 {
        return Err("the bridge saw no request of the first fetch".to_owned());
    }
    same(("requests", bridge.count("many")), ("requests", bridge.count("one")))?;
    stop_without_a_trace(&own.server)
}

fn restart() -> Result<(), String> {
    let own = Own::start(&["hello"], &Setup::new(&["git"]))?;
    let before = edition(&own.server.client.call(&which())?, "first edition")?;
    stop_without_a_trace(&own.server)?;
    fs::remove_dir_all(&own.repositories).map_err(|e| e.to_string())?;
    let target = own.repositories.to_string_lossy();
    let setup = Setup::new(&["git"]).mirror("example.test", target);
    let again = Server::start(own.folder.path(), &setup)?;
    let after = edition(&again.client.call(&which())?, "first edition")?;
    same(after, before)?;
    let unknown = json!({"url": "example.test/faulty", "call": "Fine()"});
    let unknown = again.client.call(&unknown)?;
    same(Problem::read(&unknown)?.stage.as_str(), "fetch")?;
    stop_without_a_trace(&again)
}

fn cache_bust() -> Result<(), String> {
    let own = Own::start(&[], &Setup::new(&["git"]))?;
    let client = &own.server.client;
    let mut repository = fixture(&own.repositories, "hello")?;
    let old = edition(&client.call(&which())?, "first edition")?;
    let second = Some(("first edition", "second edition"));
    let new = repository.commit(&fixtures().join("hello"), second).map_err(|e| e.to_string())?;
    same(edition(&client.call(&which())?, "first edition")?, old)?;
    let mut bust = which();
    bust["cache_bust"] = true.into();
    same(edition(&client.call(&bust)?, "second edition")?, new.to_string())?;
    same(edition(&client.call(&which())?, "second edition")?, new.to_string())?;
    stop_without_a_trace(&own.server)
}

/// Whether the compiler ran for an answer, by its own account: finding an artifact takes
/// microseconds.
fn was_built(answer: &Answer) -> Result<bool, String> {
    let timing = answer.header("server-timing")?;
    let build = timing.split("build;dur=").nth(1).and_then(|rest| rest.split(',').next());
    let build: f64 = build.and_then(|text| text.parse().ok()).ok_or("no time of the build")?;
    Ok(build > 20.0)
}

fn expiry() -> Result<(), String> {
    let own = Own::start(&[], &Setup::new(&["git"]).expiration("1s"))?;
    let client = &own.server.client;
    let mut repository = fixture(&own.repositories, "hello")?;
    let first = client.call(&which())?;
    let old = edition(&first, "first edition")?;
    same(("built", was_built(&first)?), ("built", true))?;
    thread::sleep(EXPIRED);
    let same_again = client.call(&which())?;
    same(edition(&same_again, "first edition")?, old)?;
    same(("built", was_built(&same_again)?), ("built", false))?;
    let second = Some(("first edition", "second edition"));
    let new = repository.commit(&fixtures().join("hello"), second).map_err(|e| e.to_string())?;
    thread::sleep(EXPIRED);
    same(edition(&client.call(&which())?, "second edition")?, new.to_string())?;
    stop_without_a_trace(&own.server)
}

fn many_builds() -> Result<(), String> {
    let own = Own::start(&["hello"], &Setup::new(&["git"]))?;
    let client = &own.server.client;
    edition(&client.call(&which())?, "first edition")?;
    let answers = thread::scope(|scope| {
        let ask = |number: usize| {
            let call = json!({"url": HELLO, "call": format!("Greet(\"number {number}\")")});
            scope.spawn(move || client.post(call.to_string().as_bytes()))
        };
        let clients: Vec<_> = (0..BUILDS).map(ask).collect();
        let join = |client: thread::ScopedJoinHandle<'_, Result<Answer, String>>| {
            client.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
        };
        clients.into_iter().map(join).collect::<Vec<_>>()
    });
    for (number, answer) in answers.into_iter().enumerate() {
        same(answer?.data()?, json!({"data": format!("Hello, number {number}!")}))?;
    }
    stop_without_a_trace(&own.server)
}

fn interrupt() -> Result<(), String> {
    let own = Own::start(&["faulty"], &Setup::new(&["git"]))?;
    let client = &own.server.client;
    let sleep = json!({"url": "example.test/faulty", "call": "Sleep(3 * time.Second)"});
    same(client.call(&sleep)?.data()?, json!({"data": "slept"}))?;
    let answer = thread::scope(|scope| {
        let call = scope.spawn(|| client.post(sleep.to_string().as_bytes()));
        thread::sleep(HEAD_START);
        let group = Pid::from_raw(-own.server.pid().cast_signed());
        kill(group, Signal::SIGINT).map_err(|e| e.to_string())?;
        call.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
    })?;
    same(answer.data()?, json!({"data": "slept"}))
}

fn busy() -> Result<(), String> {
    let limits = json!({"concurrency": 1, "queue_wait": "1s"});
    let own = Own::start(&["faulty"], &Setup::new(&["git"]).limits(limits))?;
    let client = &own.server.client;
    let sleep = json!({"url": "example.test/faulty", "call": "Sleep(3 * time.Second)"});
    same(client.call(&sleep)?.data()?, json!({"data": "slept"}))?;
    let answers = thread::scope(|scope| {
        let first = scope.spawn(|| client.post(sleep.to_string().as_bytes()));
        thread::sleep(HEAD_START);
        let mut answers = crowd(client, &sleep, QUEUE);
        answers.push(first.join().unwrap_or_else(|_| Err("a client panicked".to_owned())));
        answers
    });
    let mut turned_away = 0;
    for answer in answers {
        let answer = answer?;
        if answer.status == 200 {
            continue;
        }
        let problem = Problem::read(&answer)?;
        same((answer.status, problem.code.as_str()), (503, "busy"))?;
        same(problem.stage.as_str(), "queue")?;
        let wait = answer.header("retry-after")?;
        if wait.parse::<u32>().is_ok_and(|seconds| seconds > 0) {
            turned_away += 1;
        } else {
            return Err(format!("Retry-After is no number of seconds: {wait}"));
        }
    }
    // They come while the first one runs for longer than they may wait.
    same(("turned away", turned_away), ("turned away", QUEUE))?;
    stop_without_a_trace(&own.server)
}

/// A configuration for programs that do not listen, with repositories beside it.
pub(crate) fn configuration(folder: &Path, names: &[&str]) -> Result<PathBuf, String> {
    let repositories = folder.join("repositories");
    for name in names {
        fixture(&repositories, name)?;
    }
    let setup = Setup::new(&["git"]).mirror("example.test", repositories.to_string_lossy());
    setup.write(folder, 1).map_err(|e| e.to_string())
}
