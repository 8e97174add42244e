//! How a server ends when it is told to, and what its clients see of it.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::client::Client;
use super::host::{HEAD_START, Host, free, warm};

/// A call that takes a while, and one that would take too long.
const WHILE: &str = "Sleep(4 * time.Second)";
const LONG: &str = "Sleep(50 * time.Second)";
/// Much less than the long one takes, and much more than an end does.
const SOON: Duration = Duration::from_secs(25);

#[test]
fn a_server_that_drains_says_so_until_its_calls_have_ended() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address}));
    warm(address, &[WHILE]);
    let health = |path| Client::connect(address).unwrap().get(path, &[]).unwrap();
    assert_eq!(health("/healthcheck").status, 200);
    let mut kept = Client::connect(address).unwrap();
    assert!(!kept.get("/healthcheck", &[]).unwrap().is_last());
    let mut running = Client::connect(address).unwrap();
    running.send_call(WHILE).unwrap();
    thread::sleep(HEAD_START);
    server.signal(Signal::SIGTERM);
    server.wait_for("the server ends", 1);
    health("/healthcheck").is_draining();
    health("/api/v1/healthcheck").is_draining();
    Client::connect(address).unwrap().call(WHILE).unwrap().is_draining();
    kept.call(WHILE).unwrap().is_draining();
    let answer = running.answer().unwrap();
    assert_eq!(answer.data(), "slept");
    assert!(answer.is_last());
    server.ended_well();
    assert!(Client::connect(address).is_err());
}

#[test]
fn a_second_signal_ends_calls_at_once_and_everything_is_removed() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address}));
    let mut running = Client::connect(address).unwrap();
    running.send_call(LONG).unwrap();
    server.wait_for("sky-island serves", 1);
    let mut quick = Client::connect(address).unwrap();
    quick.call("Fine()").unwrap().data();
    thread::sleep(Duration::from_secs(3));
    let children = server.children();
    server.signal(Signal::SIGTERM);
    server.wait_for("the server ends", 1);
    let begin = Instant::now();
    server.signal(Signal::SIGINT);
    running.answer().unwrap().is_draining();
    server.ended_well();
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert!(children.iter().all(|process| !process.exists()), "{children:?}");
    let scratch = std::fs::read_dir(host.path("state/scratch")).unwrap().count();
    assert_eq!(scratch, 0);
}

#[test]
fn calls_that_outlast_the_grace_are_killed() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address, "shutdown_grace": "1s"}));
    warm(address, &["Fine()"]);
    let mut running = Client::connect(address).unwrap();
    running.send_call(LONG).unwrap();
    thread::sleep(HEAD_START);
    server.signal(Signal::SIGTERM);
    let begin = Instant::now();
    running.answer().unwrap().is_draining();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    server.ended_well();
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn clients_that_say_nothing_do_not_keep_a_server_from_ending() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address}));
    let mut silent = Client::connect(address).unwrap();
    let mut idle = Client::connect(address).unwrap();
    assert_eq!(idle.get("/healthcheck", &[]).unwrap().status, 200);
    server.signal(Signal::SIGTERM);
    assert!(server.ended_well() < Duration::from_secs(15));
    assert!(silent.is_closed() && idle.is_closed());
}

#[test]
fn a_server_that_is_started_while_another_one_drains_waits_for_its_state_directory() {
    let host = Host::new();
    let (address, other) = (free(), free());
    let server = host.start(&json!({"listen": address}));
    warm(address, &[WHILE]);
    let mut running = Client::connect(address).unwrap();
    running.send_call(WHILE).unwrap();
    thread::sleep(HEAD_START);
    server.signal(Signal::SIGTERM);
    server.wait_for("the server ends", 1);
    let next = host.start(&json!({"listen": other}));
    assert_eq!(running.answer().unwrap().data(), "slept");
    server.ended_well();
    assert_eq!(Client::connect(other).unwrap().call("Fine()").unwrap().data(), "fine");
    next.signal(Signal::SIGTERM);
    next.ended_well();
}
