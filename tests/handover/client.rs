//! HTTP as it is on the wire: nothing is sent twice, so that no failure is hidden.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// The longest that an answer may take.
pub(super) const WAIT: Duration = Duration::from_secs(90);

/// A connection.
pub(super) struct Client<S> {
    stream: S,
    /// What was read and belongs to no answer yet.
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In small letters, with their values.
    head: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Client<TcpStream> {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, WAIT)?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_nodelay(true)?;
        Ok(Self::on(stream))
    }

    /// Waits until the server closes, having said nothing.
    pub(super) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    /// What comes within so long, if anything.
    pub(super) fn hears_within(&mut self, wait: Duration) -> bool {
        self.stream.set_read_timeout(Some(wait)).unwrap();
        let heard = self.stream.peek(&mut [0; 1]).is_ok();
        self.stream.set_read_timeout(Some(WAIT)).unwrap();
        heard
    }
}

impl Client<UnixStream> {
    pub(super) fn connect_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(WAIT))?;
        Ok(Self::on(stream))
    }
}

impl<S: Read + Write> Client<S> {
    pub(super) fn on(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Calls a function of the fixture.
    pub(super) fn call(&mut self, function: &str) -> io::Result<Answer> {
        self.send_call(function)?;
        self.answer()
    }

    pub(super) fn send_call(&mut self, function: &str) -> io::Result<()> {
        let body = json!({"url": "example.test/faulty", "call": function}).to_string();
        self.send("POST", "/api/v1/function", &[], &body)
    }

    pub(super) fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        self.request("GET", path, headers)
    }

    pub(super) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Answer> {
        self.send(method, path, headers, "")?;
        self.answer()
    }

    pub(super) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<()> {
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes())
    }

    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        self.read.drain(..end);
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let head: Vec<_> = lines.filter_map(header).collect();
        let mut answer = Answer { status: status.unwrap_or_default(), head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            self.more()?;
        }
        answer.body = self.read.drain(..length).collect();
        Ok(answer)
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")),
            length => {
                self.read.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it was the last one of its connection.
    pub(super) fn is_last(&self) -> bool {
        self.header("connection") == Some("close")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// What a call that succeeded answered.
    pub(super) fn data(&self) -> String {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()["data"].as_str().unwrap().to_owned()
    }

    /// Fails unless a server said that it ends.
    pub(super) fn is_draining(&self) {
        assert_eq!((self.status, &self.json()["code"]), (503, &json!("draining")));
        assert!(self.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
        assert!(self.is_last());
    }
}
