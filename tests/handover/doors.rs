//! Where a server listens, how many it lets in, and which pages.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::client::Client;
use super::host::{Host, free};

/// Longer than an answer takes, for one that is not to come.
const NO_ANSWER: Duration = Duration::from_secs(1);

#[test]
fn one_server_listens_at_several_places_and_its_sockets_file_goes_with_it() {
    let host = Host::new();
    let (one, other) = (free(), free());
    let path = host.path("http.sock");
    let left = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(left);
    let places = json!([one, other, format!("unix:{}", path.display())]);
    let server = host.start(&json!({"listen": places}));
    server.wait_for("sky-island serves", 3);
    for address in [one, other] {
        let answer = Client::connect(address).unwrap().get("/healthcheck", &[]).unwrap();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    let mut client = Client::connect_unix(&path).unwrap();
    assert_eq!(client.get("/healthcheck", &[]).unwrap().status, 200);
    // It stays where a new program takes over, and goes with the last one.
    server.signal(Signal::SIGUSR2);
    server.wait_for("sky-island serves", 6);
    let mut client = Client::connect_unix(&path).unwrap();
    assert_eq!(client.get("/healthcheck", &[]).unwrap().status, 200);
    server.signal(Signal::SIGTERM);
    server.ended_well();
    assert!(!path.exists());
}

#[test]
fn a_connection_beyond_the_limit_waits_until_another_one_ends() {
    let host = Host::new();
    let address = free();
    let server = host.start(&json!({"listen": address, "connections": 1, "head_wait": "3s"}));
    let mut first = Client::connect(address).unwrap();
    assert_eq!(first.get("/healthcheck", &[]).unwrap().status, 200);
    let mut second = Client::connect(address).unwrap();
    second.send("GET", "/healthcheck", &[], "").unwrap();
    assert!(!second.hears_within(NO_ANSWER));
    // Silent for longer than it may be.
    assert!(first.is_closed());
    assert_eq!(second.answer().unwrap().status, 200);
    drop(second);
    server.signal(Signal::SIGTERM);
    server.ended_well();
}

#[test]
fn pages_of_configured_origins_alone_are_let_in() {
    let host = Host::new();
    let (address, any, closed) = (free(), free(), free());
    let of = |keys| host.start(&keys);
    let state = |name: &str| host.path(name);
    let servers = [
        of(json!({"listen": address, "cors_origins": ["https://example.org"]})),
        of(json!({"listen": any, "cors_origins": ["*"], "state_dir": state("any")})),
        of(json!({"listen": closed, "state_dir": state("closed")})),
    ];
    let allowed = |address, origin, method| {
        let mut client = Client::connect(address).unwrap();
        let asked = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type"),
        ];
        let answer = client.request(method, "/healthcheck", &asked).unwrap();
        let of = |name: &str| answer.header(name).map(str::to_owned);
        (of("access-control-allow-origin"), of("access-control-allow-headers"))
    };
    let (ours, other) = ("https://example.org", "https://example.com");
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(allowed(address, ours, "OPTIONS"), (some(ours), some("content-type")));
    assert_eq!(allowed(address, ours, "GET").0, some(ours));
    assert_eq!(allowed(address, other, "OPTIONS").0, None);
    assert_eq!(allowed(any, other, "GET").0, some("*"));
    assert_eq!(allowed(closed, ours, "OPTIONS"), (None, None));
    for server in servers {
        server.signal(Signal::SIGTERM);
        server.ended_well();
    }
}
