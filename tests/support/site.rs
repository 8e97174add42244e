//! A site on a loopback port that serves a few files, knows ranges, and can break off.
//!
//! One connection at a time, one request a connection.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// How the site behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// It answers ranges.
    pub ranges: bool,
    /// So many answers break off, each after this many bytes of their body.
    pub breaks: (usize, usize),
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { ranges: true, breaks: (0, 0) }
    }
}

/// The site; it stops with this value.
pub struct Site {
    address: SocketAddr,
    files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    behaviour: Arc<Mutex<Behaviour>>,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Site {
    /// An empty one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = Self {
            address: listener.local_addr().unwrap(),
            files: Arc::default(),
            behaviour: Arc::default(),
            asked: Arc::default(),
            stop: Arc::default(),
        };
        let (files, behaviour) = (site.files.clone(), site.behaviour.clone());
        let (asked, stop) = (site.asked.clone(), site.stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // A client that hangs up has had enough.
                let _ = answer(stream, &files, &behaviour, &asked);
            }
        });
        site
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves these bytes at this path, which may have a query.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.to_owned(), bytes.into());
    }

    /// Behaves so from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// What it was asked since the last time: path and, where there was one, range.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(
    mut stream: TcpStream,
    files: &Mutex<HashMap<String, Vec<u8>>>,
    behaviour: &Mutex<Behaviour>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut from = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let range = from.map(|from| format!(" from {from}")).unwrap_or_default();
    asked.lock().unwrap().push(format!("{path}{range}"));
    let Some(body) = files.lock().unwrap().get(&path).cloned() else {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
    };
    let mut behaviour = behaviour.lock().unwrap();
    let from = from.filter(|_| behaviour.ranges);
    let (status, begin) = match from {
        Some(from) if from >= body.len() => ("416 Range Not Satisfiable", body.len()),
        Some(from) => ("206 Partial Content", from),
        None => ("200 OK", 0),
    };
    let rest = &body[begin..];
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", rest.len());
    if status.starts_with("206") {
        head += &format!("content-range: bytes {begin}-{}/{}\r\n", body.len() - 1, body.len());
    }
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    if behaviour.breaks.0 > 0 {
        behaviour.breaks.0 -= 1;
        return stream.write_all(&rest[..behaviour.breaks.1.min(rest.len())]);
    }
    stream.write_all(rest)
}
