//! Another program takes over under load: no request fails.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::client::Client;
use super::host::{Host, Server, free, warm};
use super::load::{Load, QUICK, SLOW};

/// Calls that are answered before something is done, and after it.
const CALLS: usize = 60;

fn none_failed(load: Load, server: &Server) {
    let (served, failed) = load.end();
    let log = server.log();
    let reasons: Vec<_> = log.lines().filter(|line| !line.contains(r#""answered""#)).collect();
    assert!(failed.is_empty(), "beside {served}: {failed:#?}, with {reasons:#?}");
}

/// The program makes place for itself, three times, on its own state directory.
fn passes_on(host: &Host) {
    let address = free();
    let server = host.start(&json!({"listen": address}));
    warm(address, &[QUICK, SLOW]);
    let load = Load::begin(address);
    for before in 1..=3 {
        load.until_served(CALLS);
        server.signal(Signal::SIGUSR2);
        server.wait_for("sky-island serves", before + 1);
    }
    load.until_served(CALLS);
    none_failed(load, &server);
    server.signal(Signal::SIGTERM);
    server.ended_well();
}

#[test]
fn a_server_becomes_the_new_program_under_load_and_no_request_fails() {
    passes_on(&Host::new());
}

#[test]
fn an_ordinary_users_server_becomes_the_new_program_likewise() {
    passes_on(&Host::of_ordinary_user());
}

/// Starts a server on a socket that is ours, and calls it once.
fn managed(host: &Host, state: &str, socket: &TcpListener) -> Server {
    let server = host.start_on(&json!({"state_dir": host.path(state)}), socket);
    warm(socket.local_addr().unwrap(), &[QUICK, SLOW]);
    server
}

/// Until the new program catches signals, they wait for it.
#[test]
fn signals_during_a_take_over_do_not_end_the_new_program() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address}));
    warm(address, &[QUICK]);
    server.signal(Signal::SIGUSR2);
    server.wait_for("the server ends", 1);
    let until = Instant::now() + Duration::from_secs(30);
    while server.log().matches("sky-island serves").count() < 2 && Instant::now() < until {
        server.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(1));
    }
    server.wait_for("sky-island serves", 2);
    warm(address, &[QUICK]);
    server.signal(Signal::SIGTERM);
    server.ended_well();
}

#[test]
fn a_managers_restart_under_load_fails_no_request() {
    let host = Host::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = managed(&host, "state", &socket);
    let load = Load::begin(socket.local_addr().unwrap());
    load.until_served(CALLS);
    server.signal(Signal::SIGTERM);
    server.ended_well();
    let server = host.start_on(&json!({}), &socket);
    load.until_served(CALLS);
    none_failed(load, &server);
    server.signal(Signal::SIGTERM);
    server.ended_well();
}

#[test]
fn two_servers_share_a_socket_and_either_may_go() {
    let host = Host::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let first = managed(&host, "one", &socket);
    let load = Load::begin(address);
    load.until_served(CALLS);
    let second = host.start_on(&json!({"state_dir": host.path("two")}), &socket);
    load.until_served(CALLS);
    first.signal(Signal::SIGTERM);
    first.ended_well();
    load.until_served(CALLS);
    none_failed(load, &second);
    drop(socket);
    second.signal(Signal::SIGTERM);
    second.ended_well();
    assert!(Client::connect(address).is_err());
}

#[test]
fn a_signal_to_stop_ends_a_hand_over() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address}));
    let mut client = Client::connect(address).unwrap();
    assert_eq!(client.get("/healthcheck", &[]).unwrap().status, 200);
    server.signal(Signal::SIGUSR2);
    server.wait_for("the server ends", 1);
    server.signal(Signal::SIGTERM);
    server.ended_well();
    assert!(Client::connect(address).is_err());
}

#[test]
fn a_server_whose_successor_could_not_start_goes_on() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address}));
    server.configure(r#"{"lissen": "127.0.0.1:1"}"#);
    server.signal(Signal::SIGUSR2);
    server.wait_for("no hand-over", 1);
    let answer = Client::connect(address).unwrap().get("/healthcheck", &[]).unwrap();
    assert_eq!(answer.status, 200);
    assert!(server.log().contains("lissen"));
    server.signal(Signal::SIGTERM);
    server.ended_well();
}

/// Its configuration can be used, but it would find no Go.
#[test]
fn a_server_whose_successor_would_end_while_it_starts_goes_on() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address}));
    warm(address, &[QUICK]);
    let state = host.path("state");
    let well = json!({"listen": address, "state_dir": state});
    let bad = json!({"listen": address, "state_dir": state, "go": {"command": "/nowhere/bin/go"}});
    server.configure(&bad.to_string());
    server.signal(Signal::SIGUSR2);
    server.wait_for("no hand-over", 1);
    assert!(server.log().contains("/nowhere/bin/go"), "{}", server.log());
    warm(address, &[QUICK]);
    server.configure(&well.to_string());
    server.signal(Signal::SIGTERM);
    server.ended_well();
}
