//! Which requests a server takes: by their host, and not for a page of another origin; and how it
//! parts with clients that do not read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::answers::same;
use crate::client::written;
use crate::leftovers::stop_without_a_trace;
use crate::server::{Server, Setup};
use crate::world::{fixture, folder};

const FAULTY: &str = "example.test/faulty";
/// The longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(120);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("door: foreign hosts and foreign pages are refused", || {
            refused().map_err(Failed::from)
        }),
        Trial::test("door: a client that does not read its answer is hung up on", || {
            unread().map_err(Failed::from)
        }),
    ]
}

/// Sends a request as it stands and reads to the end.
fn raw(server: &Server, request: &str) -> Result<String, String> {
    let mut stream = connect(server)?;
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn connect(server: &Server) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(server.address()).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(|e| e.to_string())?;
    Ok(stream)
}

fn refused() -> Result<(), String> {
    let folder = folder()?;
    let repositories = folder.path().join("repositories");
    fixture(&repositories, "faulty")?;
    let setup = Setup::new(&["git"])
        .mirror("example.test", repositories.to_string_lossy())
        .top("hosts", json!(["islands.example.test"]));
    let server = Server::start(folder.path(), &setup)?;
    let body = json!({"url": FAULTY, "call": "Fine()"}).to_string();
    let table = [
        ("Host: 127.0.0.1:3281\r\n", "200"),
        ("Host: islands.example.test\r\n", "200"),
        ("Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n", "200"),
        ("Host: attacker.example\r\n", "421"),
        ("", "400"),
        ("Host: localhost\r\nHost: localhost\r\n", "400"),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n", "403"),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", "403"),
        (
            "Host: localhost\r\nOrigin: https://evil.example\r\nContent-Type: text/plain\r\nSec-Fetch-Site: cross-site\r\n",
            "403",
        ),
        ("Host: localhost\r\nContent-Type: text/plain\r\n", "415"),
    ];
    for (headers, status) in table {
        let length = body.len();
        let request = format!(
            "POST /api/v1/function HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = raw(&server, &request)?;
        let got = answer.split(' ').nth(1).unwrap_or_default();
        same(got, status).map_err(|e| format!("{headers:?}: {e}: {answer}"))?;
        let kept_out = answer.lines().any(|line| line == "cache-control: no-store");
        same(kept_out, true).map_err(|e| format!("{headers:?}: no-store: {e}: {answer}"))?;
        same(answer.contains("\"fine\""), status == "200")?;
    }
    let read = raw(
        &server,
        "GET /metrics HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n",
    )?;
    same(read.split(' ').nth(1), Some("421"))?;
    stop_without_a_trace(&server)
}

fn unread() -> Result<(), String> {
    const LONG: usize = 64 << 20;
    let folder = folder()?;
    let repositories = folder.path().join("repositories");
    fixture(&repositories, "faulty")?;
    let setup = Setup::new(&["git"])
        .mirror("example.test", repositories.to_string_lossy())
        .limits(json!({"output": "128MiB", "memory": "1GiB", "per_client": {"connections": 2}}))
        .top("answer_wait", json!("1s"));
    let server = Server::start(folder.path(), &setup)?;
    let call = written(FAULTY, &format!("Long({LONG})"));
    let (mut one, mut other) = (connect(&server)?, connect(&server)?);
    one.write_all(call.as_bytes()).map_err(|e| e.to_string())?;
    other
        .write_all(b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .map_err(|e| e.to_string())?;
    // The client has its share of connections now.
    let third = raw(&server, "")?;
    same(third.split(' ').nth(1), Some("429")).map_err(|e| format!("{e}: {third}"))?;
    same(third.contains("limits.per_client.connections"), true)?;
    // The answer has begun to come, and then nothing of it is read for longer than answer_wait.
    let mut first = [0];
    one.read_exact(&mut first).map_err(|e| format!("no answer: {e}"))?;
    std::thread::sleep(Duration::from_secs(3));
    let (began, mut read) = (Instant::now(), Vec::new());
    // The rest ends early, or with a reset.
    let _ = one.read_to_end(&mut read);
    if read.len() >= LONG || began.elapsed() > Duration::from_secs(30) {
        return Err(format!("{} bytes came within {:?}", read.len(), began.elapsed()));
    }
    drop((one, other));
    stop_without_a_trace(&server)
}
