//! Sockets that were passed to this process by the protocol of sd_listen_fds(3): descriptors from 3
//! on, counted and named by the environment. A service manager passes its own sockets, a server
//! that hands over passes the ones that it had bound.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{getsockname, getsockopt, sockopt};

/// The name of a socket that a server has bound itself and handed over.
pub(super) const OURS: &str = "sky-island-own";
/// The name of a manager's socket that never speaks HTTPS.
pub(super) const PLAIN: &str = "http";
/// The first descriptor that is passed.
pub(super) const FIRST: RawFd = 3;

/// The sockets that were passed to this process.
#[derive(Debug, Default)]
pub struct PassedSockets {
    sockets: Vec<(OwnedFd, String)>,
}

/// A passed socket that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    /// The environment does not describe them.
    #[error(
        "the sockets that LISTEN_FDS names cannot be taken; start the server by its service manager, or unset LISTEN_FDS"
    )]
    Environment(#[source] io::Error),
    /// The socket does not listen for connections.
    #[error(
        "the passed socket {0:?} is not a listening stream socket; use ListenStream= and Accept=no in its .socket unit"
    )]
    Kind(String),
    /// The system refuses to use the socket.
    #[error("the passed socket {0:?} cannot be used")]
    Use(String, #[source] io::Error),
}

/// A passed socket that listens, and its name.
pub(super) struct PassedSocket {
    pub(super) socket: ListeningSocket,
    pub(super) name: String,
}

pub(super) enum ListeningSocket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl PassedSockets {
    /// Takes the sockets. Only the first call in a process has any.
    pub fn take() -> Result<Self, PassedError> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Self::none());
        }
        // This makes each of them close on exec.
        let named = sd_notify::listen_fds_with_names().map_err(PassedError::Environment)?;
        let own = |(descriptor, name): (RawFd, String)| {
            // SAFETY: the environment says that the descriptor was opened for this process; nothing
            // else in the process has it, and `TAKEN` lets it be taken once.
            (unsafe { OwnedFd::from_raw_fd(descriptor) }, name)
        };
        Ok(Self { sockets: named.map(own).collect() })
    }

    /// No sockets.
    pub fn none() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(super) fn of(sockets: Vec<(OwnedFd, String)>) -> Self {
        Self { sockets }
    }

    pub(super) fn open(self) -> Result<Vec<PassedSocket>, PassedError> {
        let examine = |(socket, name)| examine(socket, name);
        self.sockets.into_iter().map(examine).collect()
    }
}

fn examine(socket: OwnedFd, name: String) -> Result<PassedSocket, PassedError> {
    let kind = |_| PassedError::Kind(name.clone());
    let stream = getsockopt(&socket, sockopt::SockType).map_err(kind)? == SockType::Stream;
    let listens = getsockopt(&socket, sockopt::AcceptConn).map_err(kind)?;
    let address: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(kind)?;
    let listening = match address.family() {
        Some(AddressFamily::Inet | AddressFamily::Inet6) => ListeningSocket::Tcp(socket.into()),
        Some(AddressFamily::Unix) => ListeningSocket::Unix(socket.into()),
        _ => return Err(PassedError::Kind(name)),
    };
    if stream && listens {
        Ok(PassedSocket { socket: listening, name })
    } else {
        Err(PassedError::Kind(name))
    }
}

impl PassedSocket {
    /// Whether a server before this one had bound the socket.
    pub(super) fn is_ours(&self) -> bool {
        self.name == OURS
    }
}

impl ListeningSocket {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(listener) => listener.local_addr().ok()?.as_pathname().map(PathBuf::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(socket: impl Into<OwnedFd>) -> Result<Vec<PassedSocket>, PassedError> {
        PassedSockets::of(vec![(socket.into(), "a name".to_owned())]).open()
    }

    #[test]
    fn only_listening_stream_sockets_are_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connection = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(open(listener).unwrap()[0].socket.address(), Some(address));
        let others = [
            open(connection),
            open(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()),
            open(std::os::unix::net::UnixDatagram::unbound().unwrap()),
            open(std::fs::File::open("/dev/null").unwrap()),
        ];
        for other in others {
            let error = other.err().unwrap();
            assert!(matches!(&error, PassedError::Kind(name) if name == "a name"), "{error}");
        }
    }
}
