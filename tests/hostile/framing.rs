//! HTTP whose parts contradict each other: exactly one answer comes, or the connection ends. What is
//! smuggled behind a request never counts as another one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::row::title;
use crate::server::Server;
use crate::world::World;

/// The longest wait for an answer, or for the end of a connection.
const WAIT: Duration = Duration::from_secs(60);

/// Bytes as they are sent, and the statuses of all answers that come.
struct Sent {
    what: &'static str,
    advisory: &'static str,
    bytes: fn() -> Vec<u8>,
    statuses: &'static [&'static str],
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let trial = |row: &'static Sent| {
        world.trial(title("HTTP", row.what, row.advisory), move |_, server| {
            let text = answers(server, &(row.bytes)())?;
            // No body has the name of the protocol in it.
            let statuses: Vec<_> =
                text.split("HTTP/1.1 ").skip(1).map(|rest| rest.get(..3).unwrap_or("")).collect();
            if statuses == row.statuses {
                return Ok(());
            }
            Err(format!("expected {:?}, but got {text:?}", row.statuses))
        })
    };
    TABLE.iter().map(trial).collect()
}

/// Sends bytes, and reads to the end.
fn answers(server: &Server, bytes: &[u8]) -> Result<String, String> {
    let mut stream = TcpStream::connect(server.address()).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(WAIT)).map_err(|e| e.to_string())?;
    stream.set_write_timeout(Some(WAIT)).map_err(|e| e.to_string())?;
    // A server that has answered already need not read the rest.
    // A call whose client has ended is dropped, so only a request that does not end is ended so.
    let closes = bytes.windows(CLOSE.len()).any(|part| part == CLOSE);
    if stream.write_all(bytes).is_ok() && !closes {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(format!(
            "the connection was open after {WAIT:?}: {}",
            String::from_utf8_lossy(&read)
        )),
        // What came before a reset counts.
        _ => Ok(String::from_utf8_lossy(&read).into_owned()),
    }
}

const fn sent(
    what: &'static str,
    advisory: &'static str,
    bytes: fn() -> Vec<u8>,
    statuses: &'static [&'static str],
) -> Sent {
    Sent { what, advisory, bytes, statuses }
}

/// A GET with these headers, a body, and a request that is smuggled behind it.
fn get(headers: &str, rest: &str) -> Vec<u8> {
    format!("GET /healthcheck HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{rest}").into_bytes()
}

/// What has the server end the connection after its answer.
const CLOSE: &[u8] = b"Connection: close";

const SMUGGLED: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

const TABLE: &[Sent] = &[
    sent(
        "two lengths that differ",
        "CVE-2015-5740",
        || get("Content-Length: 0\r\nContent-Length: 5\r\n", SMUGGLED),
        &["400"],
    ),
    sent(
        "two lengths in one field",
        "CVE-2015-5740",
        || get("Content-Length: 0, 5\r\n", SMUGGLED),
        &["400"],
    ),
    sent(
        "a length with a sign",
        "CVE-2021-32715",
        || get("Content-Length: +5\r\n", SMUGGLED),
        &["400"],
    ),
    sent(
        "a length in hexadecimal digits",
        "",
        || get("Content-Length: 0x5\r\n", SMUGGLED),
        &["400"],
    ),
    sent("a negative length", "", || get("Content-Length: -1\r\n", SMUGGLED), &["400"]),
    sent(
        "a length beyond all numbers",
        "",
        || get("Content-Length: 99999999999999999999999\r\n", SMUGGLED),
        &["400"],
    ),
    sent(
        "a length and chunks",
        "CVE-2021-21299",
        || {
            get(
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                &format!("0\r\n\r\n{SMUGGLED}"),
            )
        },
        &["200"],
    ),
    sent(
        "a coding that is not known",
        "CVE-2022-1705",
        || get("Transfer-Encoding: xchunked\r\n", SMUGGLED),
        &["400"],
    ),
    sent(
        "chunks that are not the last coding",
        "CVE-2021-21299",
        || get("Transfer-Encoding: chunked, identity\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
        &["400"],
    ),
    sent(
        "a coding twice",
        "CVE-2021-21299",
        || {
            get(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                &format!("0\r\n\r\n{SMUGGLED}"),
            )
        },
        &["400"],
    ),
    sent(
        "a coding with a vertical tab",
        "CVE-2022-1705",
        || get("Transfer-Encoding: \x0bchunked\r\n", SMUGGLED),
        &["400"],
    ),
    sent(
        "a blank before the colon of a name",
        "CVE-2019-16276",
        || get("Transfer-Encoding : chunked\r\n", SMUGGLED),
        &["400"],
    ),
    sent(
        "a field that goes on in the next line",
        "",
        || get("X: a\r\n Transfer-Encoding: chunked\r\n", SMUGGLED),
        &["400"],
    ),
    sent(
        "a carriage return in a value",
        "",
        || get("X: a\rContent-Length: 5\r\n", SMUGGLED),
        &["400"],
    ),
    sent("a NUL in a value", "", || get("X: a\0b\r\n", SMUGGLED), &["400"]),
    sent("a NUL in a name", "", || get("X\0: a\r\n", SMUGGLED), &["400"]),
    sent("a name that is empty", "", || get(": a\r\n", SMUGGLED), &["400"]),
    sent(
        "no Host",
        "",
        || b"GET /healthcheck HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec(),
        &["400"],
    ),
    sent("two Hosts", "", || get("Host: localhost\r\nConnection: close\r\n", ""), &["400"]),
    sent(
        "a Host with a user",
        "",
        || {
            b"GET /healthcheck HTTP/1.1\r\nHost: localhost@evil.example\r\nConnection: close\r\n\r\n".to_vec()
        },
        &["400"],
    ),
    sent(
        "a whole address of another host",
        "",
        || {
            b"GET http://evil.example/healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec()
        },
        &["421"],
    ),
    sent(
        "the name of a host alone, to be connected with",
        "",
        || {
            b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\nConnection: close\r\n\r\n"
                .to_vec()
        },
        &["404"],
    ),
    sent("another protocol", "", || b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
    sent(
        "a version of HTTP that does not exist",
        "",
        || b"GET /healthcheck HTTP/9.9\r\nHost: localhost\r\n\r\n".to_vec(),
        &["400"],
    ),
    sent("a request without a version", "", || b"GET /healthcheck\r\n\r\n".to_vec(), &["400"]),
    sent("bytes of TLS", "", || b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &["400"]),
    sent(
        "a path that climbs",
        "",
        || {
            b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                .to_vec()
        },
        &["404"],
    ),
    sent(
        "a path with blanks in it",
        "",
        || b"GET /healthcheck x HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        &["400"],
    ),
    sent(
        "a head of a mebibyte",
        "",
        || get(&format!("X: {}\r\n", "a".repeat(1 << 20)), SMUGGLED),
        &["431"],
    ),
    sent("ten thousand fields", "", || get(&"X: a\r\n".repeat(10_000), SMUGGLED), &["431"]),
    sent(
        "a path of a mebibyte",
        "",
        || format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 20)).into_bytes(),
        &["431"],
    ),
    sent(
        "a chunk that is larger than all memory",
        "CVE-2021-32714",
        || post("fffffffffffffffff\r\n"),
        &["400"],
    ),
    sent(
        "a chunk whose size wraps around",
        "CVE-2021-32714",
        || post(&format!("f0000000000000003\r\nabc\r\n0\r\n\r\n{SMUGGLED}")),
        &["400"],
    ),
    sent(
        "a chunk size that ends with a line feed alone",
        "CVE-2025-22871",
        || post(&format!("1;a\n\r\na\r\n0\r\n\r\n{SMUGGLED}")),
        &["400"],
    ),
    sent(
        "extensions of a chunk without an end",
        "CVE-2023-39326",
        || post(&format!("1;{}\r\na\r\n0\r\n\r\n", "a".repeat(1 << 20))),
        &["400"],
    ),
    sent(
        "a chunk that is longer than it says",
        "",
        || post(&format!("1\r\nabc\r\n0\r\n\r\n{SMUGGLED}")),
        &["400"],
    ),
    sent(
        "trailers without an end",
        "",
        || post(&format!("0\r\n{}\r\n", "X: a\r\n".repeat(100_000))),
        &["400"],
    ),
    sent(
        "a body that ends early",
        "",
        || {
            b"POST /api/v1/function HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
                .to_vec()
        },
        &["400"],
    ),
];

/// A call in chunks.
fn post(chunks: &str) -> Vec<u8> {
    format!("POST /api/v1/function HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
}
