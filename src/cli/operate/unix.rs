//! HTTP over a server's unix socket.
//!
//! Invariants: no step exceeds the time limits of its request.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Connects to the socket at this path, for every URL.
#[derive(Debug)]
pub(super) struct Socket(pub(super) PathBuf);

impl Connector for Socket {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Connection>, ureq::Error> {
        let wait = details.timeout.not_zero().map(|wait| *wait);
        let stream = open(&self.0, wait).map_err(|error| failure(error, details.timeout))?;
        let (input, output) =
            (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Connection { stream, buffers: LazyBuffers::new(input, output) }))
    }
}

fn open(path: &Path, wait: Option<std::time::Duration>) -> io::Result<UnixStream> {
    let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
    let socket = socket(family, SockType::Stream, flags, None)?;
    if let Some(wait) = wait {
        // On Linux this also limits the wait for a full queue. FreeBSD fails at once when the queue
        // is full.
        let wait = TimeVal::new(wait.as_secs().cast_signed(), i64::from(wait.subsec_micros()));
        setsockopt(&socket, sockopt::SendTimeout, &wait)?;
    }
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket.into())
}

/// The error of a system call with a time limit.
fn failure(error: io::Error, limit: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(limit.reason),
        _ => ureq::Error::Io(error),
    }
}

/// One connection, for one request.
pub(super) struct Connection {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let limit = timeout.for_write();
        self.stream.set_write_timeout(limit.not_zero().map(|wait| *wait))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| failure(error, limit))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let limit = timeout.for_read();
        self.stream.set_read_timeout(limit.not_zero().map(|wait| *wait))?;
        let amount = self.stream.read(self.buffers.input_append_buf());
        let amount = amount.map_err(|error| failure(error, limit))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Each request has a connection of its own.
        false
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.stream).finish()
    }
}

/// Resolves no names: the connector knows its socket.
#[derive(Debug)]
pub(super) struct NoNames;

impl Resolver for NoNames {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        // The caller requires one address, and the connector ignores it.
        found.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::operate::server::Server;
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    /// The result of a request to a server that sends this text, and then waits until the client
    /// disconnects.
    fn asked(sends: &'static str, wait: Duration) -> Result<String, ureq::Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server: Server = format!("unix:{}", path.display()).parse().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap();
                assert!(head[..read].starts_with(b"GET /a/b HTTP/1.1\r\n"));
                stream.write_all(sends.as_bytes()).unwrap();
                let _ = stream.read(&mut head);
            });
            let agent = server.agent(wait);
            agent.get(server.url("/a/b")).call()?.body_mut().read_to_string()
        })
    }

    #[test]
    fn a_request_goes_through_the_socket_and_its_answer_comes_back() {
        let sends = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(asked(sends, Duration::from_secs(30)).unwrap(), "hello");
    }

    #[test]
    fn a_request_to_a_silent_server_ends_at_its_time_limit() {
        for sends in ["", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"] {
            let error = asked(sends, Duration::from_millis(100)).unwrap_err();
            let timeout = match &error {
                ureq::Error::Timeout(_) => true,
                ureq::Error::Io(error) => error.kind() == io::ErrorKind::TimedOut,
                _ => false,
            };
            assert!(timeout, "{error:?}");
        }
    }

    #[test]
    fn a_socket_without_a_listener_is_an_error_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        assert_eq!(open(&path, None).unwrap_err().kind(), io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path).unwrap());
        let refused = open(&path, Some(Duration::from_secs(1))).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn the_wait_for_a_full_queue_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            assert!(waiting.len() < 100_000, "the queue has no end");
            match open(&path, Some(Duration::from_millis(20))) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        // FreeBSD does not wait.
        let known = [io::ErrorKind::WouldBlock, io::ErrorKind::ConnectionRefused];
        assert!(known.contains(&error.kind()), "{error:?}");
    }
}
