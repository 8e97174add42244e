//! A site on a loopback port with an answer for each path: whole, as it stands, endless or slow.
//! One thread a connection, one request a connection.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long a slow answer waits before each byte.
const DRIP: Duration = Duration::from_millis(200);

/// What is answered at a path.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A status, a content type and a body.
    Whole(&'static str, &'static str, Vec<u8>),
    /// These bytes, which need be no HTTP.
    Raw(Vec<u8>),
    /// A content type, the begin of a body, and what follows it without an end.
    Endless(&'static str, Vec<u8>, Vec<u8>),
    /// The same, where of what follows one byte comes at a time.
    Slow(&'static str, Vec<u8>, Vec<u8>),
}

/// A body of this type with status 200.
pub(crate) fn whole(kind: &'static str, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Whole("200 OK", kind, body.into())
}

/// The site; its threads end with the process.
pub(crate) struct Site {
    address: SocketAddr,
    replies: Arc<Mutex<HashMap<String, Reply>>>,
}

impl Site {
    /// A site without any path.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let replies: Arc<Mutex<HashMap<String, Reply>>> = Arc::default();
        let known = replies.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let known = known.clone();
                // A client that hangs up has had enough.
                thread::spawn(move || drop(answer(stream, &known)));
            }
        });
        Self { address, replies }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers so at a path, whatever the query.
    pub(crate) fn put(&self, path: &str, reply: Reply) {
        self.replies.lock().expect("no thread panics with it").insert(path.to_owned(), reply);
    }
}

fn answer(mut stream: TcpStream, known: &Mutex<HashMap<String, Reply>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let target = request.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let reply = known.lock().expect("no thread panics with it").get(path).cloned();
    let head = |status: &str, kind: &str, length: Option<usize>| {
        let length = length.map(|length| format!("Content-Length: {length}\r\n"));
        let length = length.unwrap_or_default();
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n{length}\r\n")
            .into_bytes()
    };
    match reply {
        None => stream.write_all(&head("404 Not Found", "text/plain", Some(0))),
        Some(Reply::Whole(status, kind, body)) => {
            stream.write_all(&head(status, kind, Some(body.len())))?;
            stream.write_all(&body)
        }
        Some(Reply::Raw(bytes)) => stream.write_all(&bytes),
        Some(Reply::Endless(kind, begin, more)) => {
            stream.write_all(&head("200 OK", kind, None))?;
            stream.write_all(&begin)?;
            loop {
                stream.write_all(&more)?;
            }
        }
        Some(Reply::Slow(kind, begin, more)) => {
            stream.write_all(&head("200 OK", kind, None))?;
            stream.write_all(&begin)?;
            for byte in more.into_iter().cycle() {
                stream.write_all(&[byte])?;
                thread::sleep(DRIP);
            }
            Ok(())
        }
    }
}
