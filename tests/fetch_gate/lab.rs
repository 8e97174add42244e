//! A gate with names of the test's own, and a host that must not be reached.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use server::source::{Gate, GatePolicy, GateSocket, Proxies, Reach};
use tokio::runtime::Runtime;

use crate::support::TempDir;

/// Bytes that a fetch may receive, where that is not what is tried.
pub const ROOM: u64 = 64 << 20;

/// A gate and its socket.
pub struct Lab {
    folder: TempDir,
    gate: Option<Gate>,
    pub runtime: Runtime,
}

/// A listener of this host that strangers name in every way.
pub struct Witness(TcpListener);

impl Witness {
    pub fn open() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub fn was_not_reached(&self) {
        assert!(self.0.accept().is_err(), "a connection was made");
    }
}

impl Lab {
    /// A gate for these hosts, in which each name has the address beside it.
    pub fn open(reach: Reach, proxies: Proxies, names: &[(&'static str, SocketAddr)]) -> Self {
        let folder = TempDir::new();
        let runtime = Runtime::new().unwrap();
        let names = names.to_vec();
        let policy = GatePolicy::new(reach, proxies).resolving(move |name, _| {
            let found = names.iter().filter(|(own, _)| *own == name).map(|(_, at)| *at);
            let found: Vec<_> = found.collect();
            match found.is_empty() {
                true => Err(std::io::Error::other("no such name")),
                false => Ok(found),
            }
        });
        let place = folder.path().join("g");
        std::fs::create_dir(&place).unwrap();
        let socket = GateSocket::bind(&place, None).unwrap();
        let gate = {
            let _on = runtime.enter();
            Gate::open(socket, Arc::new(policy), ROOM).unwrap()
        };
        Self { folder, gate: Some(gate), runtime }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("g/gate")
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    /// All that the gate says to a request before it closes the connection.
    pub fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub fn close(&mut self) {
        self.runtime.block_on(self.gate.take().unwrap().close());
    }
}

/// A host that sends this to everyone, and hands out what it hears up to an empty line.
pub fn host(says: &'static str) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, all) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let _ = heard.send(String::from_utf8_lossy(&head).into_owned());
            let _ = stream.write_all(says.as_bytes());
        }
    });
    (address, all)
}
