//! Connections through the gate of the island: a proxy of the server at a unix socket, which makes
//! every connection of this worker and checks where it leads.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fetch_job::{NO_CONNECTION, Place};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// How long the gate may take to make a connection: it resolves a name and tries its addresses.
const ANSWER: Duration = Duration::from_secs(15);
/// The longest answer of the gate, in bytes.
const HEAD_BYTES: usize = 1 << 10;

/// Opens a tunnel to a place. The gate says one sentence for every cause of a failure.
pub(super) fn tunnel(gate: &Path, place: &Place) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(gate)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n").as_bytes())?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    // A byte at a time, for what follows belongs to the host.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES || stream.read(&mut byte)? == 0 {
            return Err(refused());
        }
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(refused());
    }
    stream.set_read_timeout(None)?;
    Ok(stream)
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, NO_CONNECTION)
}

/// Resolves nothing: the gate does.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// Connects through a gate.
#[derive(Debug)]
pub(super) struct GateConnector(pub(super) PathBuf);

impl Connector for GateConnector {
    type Out = GateTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<GateTransport>, Error> {
        let place = Place::of_url(&details.uri.to_string()).ok_or(Error::HostNotFound)?;
        let stream = tunnel(&self.0, &place)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(GateTransport { stream, buffers }))
    }
}

/// A connection that a gate has made.
pub(super) struct GateTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl fmt::Debug for GateTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateTransport").finish_non_exhaustive()
    }
}

impl Transport for GateTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(limit(&timeout)?)?;
        let sent = self.stream.write_all(&self.buffers.output()[..amount]);
        sent.map_err(|error| late(error, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(limit(&timeout)?)?;
        let received = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let count = received.map_err(|error| late(error, &timeout))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        // A host that has something to say unasked is about to close the connection.
        let quiet = |stream: &mut UnixStream| {
            stream.set_nonblocking(true)?;
            let heard = stream.read(&mut [0]);
            stream.set_nonblocking(false)?;
            Ok::<_, io::Error>(heard.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock))
        };
        quiet(&mut self.stream).unwrap_or(false)
    }
}

/// What is left of a time limit; none for no limit.
fn limit(timeout: &NextTimeout) -> Result<Option<Duration>, Error> {
    if timeout.after.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    Ok(timeout.not_zero().map(|after| *after))
}

fn late(error: io::Error, timeout: &NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}
