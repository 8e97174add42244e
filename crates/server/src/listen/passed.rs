//! Sockets that pass from process to process by the protocol of sd_listen_fds(3): descriptors from 3 on, counted and named
//! by the environment. A service manager passes its own to a server, a server its own to the program that takes over.

use std::convert::Infallible;
use std::ffi::{CString, NulError, OsString};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{getsockname, getsockopt, sockopt};

use crate::listen::listener::Listener;

/// The name of a socket that a server of ours has bound itself.
pub(super) const OURS: &str = "sky-island-own";
/// The name of a manager's socket that never speaks HTTPS.
pub(super) const PLAIN: &str = "http";
/// The first descriptor that is passed.
const FIRST: RawFd = 3;
/// What says how many there are, for whom, and what they are called.
const COUNT: &str = "LISTEN_FDS";
const PROCESS: &str = "LISTEN_PID";
const NAMES: &str = "LISTEN_FDNAMES";

/// The sockets that this process was passed.
#[derive(Debug, Default)]
pub struct Passed {
    sockets: Vec<(OwnedFd, String)>,
}

/// A passed socket that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    /// The environment is wrong about them.
    #[error(
        "the sockets of LISTEN_FDS cannot be taken; start the server by its service manager, or without it"
    )]
    Environment(#[source] io::Error),
    /// It is none that is listened on.
    #[error(
        "the passed socket {0:?} is no stream socket that listens; in a .socket unit, use ListenStream= and Accept=no"
    )]
    Kind(String),
    /// The system refuses it.
    #[error("the passed socket {0:?} cannot be used")]
    Use(String, #[source] io::Error),
}

/// A passed socket, looked at.
pub(super) struct PassedSocket {
    pub(super) bound: Bound,
    pub(super) name: String,
}

pub(super) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Passed {
    /// Takes what was passed, the first time that it is asked in a process.
    pub fn take() -> Result<Self, PassedError> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Self::none());
        }
        // Each is closed on exec from here on.
        let named = sd_notify::listen_fds_with_names().map_err(PassedError::Environment)?;
        let own = |(descriptor, name): (RawFd, String)| {
            // SAFETY: the environment says that it was opened for this process; nobody else here has it, and it is
            // taken once.
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
        let look = |(socket, name)| look(socket, name);
        self.sockets.into_iter().map(look).collect()
    }
}

fn look(socket: OwnedFd, name: String) -> Result<PassedSocket, PassedError> {
    let kind = |_| PassedError::Kind(name.clone());
    let stream = getsockopt(&socket, sockopt::SockType).map_err(kind)? == SockType::Stream;
    let listens = getsockopt(&socket, sockopt::AcceptConn).map_err(kind)?;
    let address: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(kind)?;
    let bound = match address.family() {
        Some(AddressFamily::Inet | AddressFamily::Inet6) => Bound::Tcp(socket.into()),
        Some(AddressFamily::Unix) => Bound::Unix(socket.into()),
        _ => return Err(PassedError::Kind(name)),
    };
    if stream && listens { Ok(PassedSocket { bound, name }) } else { Err(PassedError::Kind(name)) }
}

impl PassedSocket {
    pub(super) fn is_ours(&self) -> bool {
        self.name == OURS
    }
}

impl Bound {
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

/// The sockets of a server that has ended, still open, for the program that takes over.
#[derive(Debug)]
pub struct Outgoing {
    sockets: Vec<OwnedFd>,
    names: Vec<String>,
}

impl Outgoing {
    /// The sockets of these listeners. The files that they have stay.
    pub fn of(listeners: Vec<Listener>) -> io::Result<Self> {
        let parts: Vec<_> =
            listeners.into_iter().map(Listener::into_parts).collect::<Result<_, _>>()?;
        let (sockets, names) = parts.into_iter().unzip();
        Ok(Self { sockets, names })
    }

    /// Becomes another program, with these sockets and this process's arguments, environment and number. What waits in
    /// the sockets' queues stays there meanwhile. It returns only when that fails; then this process can but end, for its
    /// lower descriptors may have been replaced. To be called when nothing else runs in the process any more.
    pub fn pass_on(self, program: &Path) -> io::Result<Infallible> {
        let program = c_string(program.as_os_str().to_owned())?;
        let arguments = std::env::args_os().map(c_string).collect::<Result<Vec<_>, _>>()?;
        let environment = environment(std::env::vars_os(), std::process::id(), &self.names)?;
        place(&self.sockets)?;
        Ok(nix::unistd::execve(&program, &arguments, &environment)?)
    }
}

/// Gives the sockets the descriptors from 3 on.
fn place(sockets: &[OwnedFd]) -> io::Result<()> {
    let end = FIRST + RawFd::try_from(sockets.len()).map_err(io::Error::other)?;
    // Out of the way first: one may stand where another has to go.
    let aside: Vec<RawFd> = sockets
        .iter()
        .map(|socket| fcntl(socket, FcntlArg::F_DUPFD_CLOEXEC(end)))
        .collect::<Result<_, _>>()?;
    for (socket, descriptor) in aside.into_iter().zip(FIRST..) {
        // SAFETY: both are numbers. What had the descriptor is not used any more: the caller becomes another program or
        // ends.
        if unsafe { libc::dup2(socket, descriptor) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn environment(
    current: impl Iterator<Item = (OsString, OsString)>,
    process: u32,
    names: &[String],
) -> Result<Vec<CString>, NulError> {
    let kept = current.filter(|(key, _)| ![COUNT, PROCESS, NAMES].iter().any(|name| key == name));
    let pair = |(mut key, value): (OsString, OsString)| {
        key.push("=");
        key.push(value);
        c_string(key)
    };
    let ours = [
        (COUNT.into(), names.len().to_string().into()),
        (PROCESS.into(), process.to_string().into()),
        (NAMES.into(), names.join(":").into()),
    ];
    kept.chain(ours).map(pair).collect()
}

fn c_string(text: OsString) -> Result<CString, NulError> {
    CString::new(text.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(socket: impl Into<OwnedFd>) -> Result<Vec<PassedSocket>, PassedError> {
        Passed::of(vec![(socket.into(), "the door".to_owned())]).open()
    }

    #[test]
    fn only_stream_sockets_that_listen_are_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connection = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(open(listener).unwrap()[0].bound.address(), Some(address));
        let others = [
            open(connection),
            open(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()),
            open(std::os::unix::net::UnixDatagram::unbound().unwrap()),
            open(std::fs::File::open("/dev/null").unwrap()),
        ];
        for other in others {
            let error = other.err().unwrap();
            assert!(matches!(&error, PassedError::Kind(name) if name == "the door"), "{error}");
        }
    }

    #[test]
    fn the_environment_says_what_is_passed_now_and_nothing_of_before() {
        let current = [("PATH", "/bin"), (COUNT, "7"), (PROCESS, "1"), (NAMES, "x")];
        let current = current.map(|(key, value)| (key.into(), value.into())).into_iter();
        let made = environment(current, 42, &["a".to_owned(), "b".to_owned()]).unwrap();
        let made: Vec<_> = made.iter().map(|pair| pair.to_str().unwrap()).collect();
        assert_eq!(made, ["PATH=/bin", "LISTEN_FDS=2", "LISTEN_PID=42", "LISTEN_FDNAMES=a:b"]);
    }
}
