//! One client cannot starve another: the greedy one comes by TCP, the ordinary one over the unix
//! socket, and they are different clients.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::answers::same;
use crate::client::written;
use crate::leftovers::stop_without_a_trace;
use crate::server::{Server, Setup};
use crate::world::{fixture, folder};

const FAULTY: &str = "example.test/faulty";
const HELLO: &str = "example.test/hello";
/// How long a greedy call runs.
const NAP: Duration = Duration::from_secs(2);
const ANSWER_WAIT: Duration = Duration::from_secs(120);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("fair: a greedy client keeps no slot from another one", || {
            shared().map_err(Failed::from)
        }),
        Trial::test("fair: calls of clients that have left do not begin", || {
            left().map_err(Failed::from)
        }),
    ]
}

fn start(folder: &Path, limits: serde_json::Value) -> Result<(Server, std::path::PathBuf), String> {
    let (repositories, socket) = (folder.join("repositories"), folder.join("own.sock"));
    for name in ["hello", "faulty"] {
        fixture(&repositories, name)?;
    }
    let setup = Setup::new(&["git"])
        .mirror("example.test", repositories.to_string_lossy())
        .unix(&socket)
        .limits(limits);
    Ok((Server::start(folder, &setup)?, socket))
}

/// Sends a call over a connection; the status of the answer.
fn status(mut stream: impl Read + Write, url: &str, call: &str) -> Result<String, String> {
    stream.write_all(written(url, call).as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    Ok(answer.split(' ').nth(1).unwrap_or_default().to_owned())
}

fn by_socket(socket: &Path, url: &str, call: &str) -> Result<String, String> {
    let stream = UnixStream::connect(socket).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(|e| e.to_string())?;
    status(stream, url, call)
}

fn by_tcp(server: &Server, url: &str, call: &str) -> Result<String, String> {
    let stream = TcpStream::connect(server.address()).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(|e| e.to_string())?;
    status(stream, url, call)
}

fn shared() -> Result<(), String> {
    const GREEDY: usize = 24;
    let folder = folder()?;
    let limits = json!({"concurrency": 4, "calls": 20, "builds": 2, "queue_wait": "500ms"});
    let (server, socket) = start(folder.path(), limits)?;
    let nap = format!("Sleep({} * time.Millisecond)", NAP.as_millis());
    same(by_socket(&socket, HELLO, "Which()")?.as_str(), "200")?;
    same(by_tcp(&server, FAULTY, &nap)?.as_str(), "200")?;
    let (over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let slowest = scope(|threads| {
        for _ in 0..GREEDY {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if by_tcp(&server, FAULTY, &nap).is_ok_and(|status| status == "429") {
                        refused.fetch_add(1, Ordering::Relaxed);
                        sleep(Duration::from_millis(100));
                    }
                }
            });
        }
        sleep(NAP / 2);
        let mut slowest = Duration::ZERO;
        let mut ordinary = || -> Result<(), String> {
            for _ in 0..40 {
                let began = Instant::now();
                same(by_socket(&socket, HELLO, "Which()")?.as_str(), "200")?;
                slowest = slowest.max(began.elapsed());
                sleep(Duration::from_millis(25));
            }
            // New builds are served as well.
            same(by_socket(&socket, HELLO, "Greet(\"you\")")?.as_str(), "200")
        };
        let done = ordinary();
        over.store(true, Ordering::Relaxed);
        done.map(|()| slowest)
    })?;
    // Without shares an ordinary call waits for the end of a greedy one.
    if slowest >= NAP / 2 {
        return Err(format!("an ordinary call took {slowest:?}"));
    }
    same(refused.load(Ordering::Relaxed) > 0, true)?;
    stop_without_a_trace(&server)
}

fn left() -> Result<(), String> {
    const LEAVERS: usize = 5;
    let folder = folder()?;
    let limits = json!({"concurrency": 1, "queue_wait": "60s"});
    let (server, socket) = start(folder.path(), limits)?;
    same(by_tcp(&server, FAULTY, "Fine()")?.as_str(), "200")?;
    same(by_tcp(&server, FAULTY, "Sleep(time.Millisecond)")?.as_str(), "200")?;
    scope(|threads| {
        let napping = threads.spawn(|| by_socket(&socket, FAULTY, "Sleep(4 * time.Second)"));
        sleep(Duration::from_millis(500));
        for _ in 0..LEAVERS {
            let mut stream = TcpStream::connect(server.address()).map_err(|e| e.to_string())?;
            stream.write_all(written(FAULTY, "Fine()").as_bytes()).map_err(|e| e.to_string())?;
            sleep(Duration::from_millis(50));
            drop(stream);
        }
        let expected = format!("sky_island_calls_total{{code=\"abandoned\"}} {LEAVERS}");
        let until = Instant::now() + Duration::from_secs(2);
        let mut metrics = String::new();
        while Instant::now() < until && !metrics.lines().any(|line| line == expected) {
            sleep(Duration::from_millis(150));
            metrics = String::from_utf8_lossy(&server.client.get("/metrics")?.body).into_owned();
        }
        let is_there = metrics.lines().any(|line| line == expected);
        same(is_there, true).map_err(|e| format!("{expected}: {e}\n{metrics}"))?;
        same(napping.join().expect("no panic")?.as_str(), "200")
    })?;
    let log = fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
    same(log.matches("abandoned").count() >= LEAVERS, true).map_err(|e| format!("{e}\n{log}"))?;
    stop_without_a_trace(&server)
}
