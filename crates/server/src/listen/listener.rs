//! Sockets that are listened on: bound at the places of the configuration, or taken over.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::task::{Context, Poll};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::passed::{self, Bound, Passed, PassedError, PassedSocket};
use super::unix::{self, SocketFile};
use crate::listen::endpoint::{Endpoint, Protocol};
use crate::listen::tls::Tls;

/// Connections that the system keeps until they are taken; it may have a lower limit of its own.
pub(super) const BACKLOG: u32 = 4096;

/// A socket that is listened on.
pub struct Listener {
    file: Option<SocketFile>,
    socket: Socket,
    /// What is shown there; none where plain HTTP is spoken.
    tls: Option<Tls>,
    /// The name under which whoever else has the socket passed it to us; none for one of our own.
    name: Option<String>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection, before anything was read from it.
pub enum Accepted {
    /// Plain, and from where.
    Tcp(TcpStream, SocketAddr),
    /// The handshake is still to be made.
    Tls(TcpStream, SocketAddr, TlsAcceptor),
    /// Of this host.
    Unix(UnixStream),
}

/// A place that cannot be listened at.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system refuses it.
    #[error("cannot listen on {0}; set another place with \"listen\"")]
    Bind(Endpoint, #[source] io::Error),
    /// HTTPS is wanted without a certificate.
    #[error("{0}: set \"tls.cert\" and \"tls.key\", for HTTPS needs a certificate")]
    NoCertificate(Endpoint),
    /// A socket that was passed is none that can be used.
    #[error(transparent)]
    Passed(#[from] PassedError),
}

/// Listens at all places, or on the sockets of a service manager in their stead. Those that the server had before it was
/// restarted are used again where they are at one of the places, and closed where they are not.
pub async fn open(
    places: &[Endpoint],
    tls: Option<&Tls>,
    passed: Passed,
) -> Result<Vec<Listener>, ListenError> {
    let (ours, theirs): (Vec<_>, Vec<_>) = passed.open()?.into_iter().partition(|it| it.is_ours());
    if !theirs.is_empty() {
        return theirs.into_iter().map(|socket| adopt(socket, tls)).collect();
    }
    let mut former = ours;
    let mut listeners = Vec::new();
    for place in places {
        let at = |it: &PassedSocket| place.is_at(it.bound.address(), it.bound.path().as_deref());
        let found = former.iter().position(at).map(|index| former.swap_remove(index));
        let bound = match found {
            Some(socket) => reuse(socket),
            None => bind(place).await,
        };
        let (socket, file) = match bound {
            Err(error) if place.completes(places) && has_no_ipv6(&error) => {
                tracing::info!(%place, "this host has no IPv6");
                continue;
            }
            bound => bound.map_err(|error| ListenError::Bind(place.clone(), error))?,
        };
        listeners.push(Listener { file, socket, tls: certificate(place, tls)?, name: None });
    }
    for socket in former {
        // Its place has been taken out of the configuration, so its file goes with it.
        drop(reuse(socket));
    }
    Ok(listeners)
}

fn certificate(place: &Endpoint, tls: Option<&Tls>) -> Result<Option<Tls>, ListenError> {
    match place {
        Endpoint::Tcp(_, Protocol::Either) => Ok(tls.cloned()),
        Endpoint::Tcp(_, Protocol::Https) => match tls {
            Some(tls) => Ok(Some(tls.clone())),
            None => Err(ListenError::NoCertificate(place.clone())),
        },
        Endpoint::Tcp(_, Protocol::Http) | Endpoint::Unix(_) => Ok(None),
    }
}

async fn bind(place: &Endpoint) -> io::Result<(Socket, Option<SocketFile>)> {
    match place {
        Endpoint::Tcp(address, _) => Ok((Socket::Tcp(bind_address(*address)?), None)),
        Endpoint::Unix(path) => {
            let (listener, file) = unix::bind(path, BACKLOG).await?;
            Ok((Socket::Unix(listener), Some(file)))
        }
    }
}

/// No port is shared (SO_REUSEPORT): a second server is to be told that there is one, and what waits in the queue of a
/// socket that is closed would be lost.
fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if address.is_ipv6() {
        // The systems differ in whether [::] takes IPv4 too; here it never does.
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT)
    )
}

fn reuse(socket: PassedSocket) -> io::Result<(Socket, Option<SocketFile>)> {
    let file = socket.bound.path().map(|path| SocketFile::of(&path)).transpose()?;
    Ok((listening(socket.bound)?, file))
}

/// Takes a service manager's socket. It speaks HTTPS where there is a certificate, unless it is called `http`.
fn adopt(socket: PassedSocket, tls: Option<&Tls>) -> Result<Listener, ListenError> {
    let plain = socket.name == passed::PLAIN || matches!(socket.bound, Bound::Unix(_));
    let tls = if plain { None } else { tls.cloned() };
    let name = socket.name;
    let listening = listening(socket.bound);
    let socket = listening.map_err(|error| PassedError::Use(name.clone(), error))?;
    Ok(Listener { file: None, socket, tls, name: Some(name) })
}

fn listening(bound: Bound) -> io::Result<Socket> {
    match bound {
        Bound::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            Ok(Socket::Tcp(TcpListener::from_std(listener)?))
        }
        Bound::Unix(listener) => {
            listener.set_nonblocking(true)?;
            Ok(Socket::Unix(UnixListener::from_std(listener)?))
        }
    }
}

impl Listener {
    /// The next connection.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match &self.socket {
            Socket::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, from)| {
                // An answer is one small packet; waiting to fill it would only cost time.
                let _ = stream.set_nodelay(true);
                match &self.tls {
                    Some(tls) => Accepted::Tls(stream, from, tls.acceptor()),
                    None => Accepted::Tcp(stream, from),
                }
            }),
            Socket::Unix(listener) => {
                listener.poll_accept(context).map_ok(|(stream, _)| Accepted::Unix(stream))
            }
        }
    }

    /// Whether the socket stays open when we close it, for somebody passed it to us.
    pub fn is_passed(&self) -> bool {
        self.name.is_some()
    }

    /// The address that plain HTTP is spoken at, for a client on this host.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) if self.tls.is_none() => listener.local_addr().ok(),
            _ => None,
        }
    }

    /// The socket and the name to pass it on under; a file that it has stays.
    pub(super) fn into_parts(self) -> io::Result<(OwnedFd, String)> {
        if let Some(file) = self.file {
            file.leave();
        }
        let socket = match self.socket {
            Socket::Tcp(listener) => listener.into_std()?.into(),
            Socket::Unix(listener) => listener.into_std()?.into(),
        };
        Ok((socket, self.name.unwrap_or_else(|| passed::OURS.to_owned())))
    }

    fn path(&self) -> Option<PathBuf> {
        match &self.socket {
            Socket::Tcp(_) => None,
            Socket::Unix(listener) => listener.local_addr().ok()?.as_pathname().map(PathBuf::from),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Socket::Tcp(listener) => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                match listener.local_addr() {
                    Ok(address) => write!(f, "{scheme}://{address}"),
                    Err(_) => write!(f, "{scheme}"),
                }
            }
            Socket::Unix(_) => write!(f, "unix:{}", self.path().unwrap_or_default().display()),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open_all(places: &[&str], passed: Passed) -> Result<Vec<Listener>, ListenError> {
        let places: Vec<Endpoint> = places.iter().map(|place| place.parse().unwrap()).collect();
        open(&places, None, passed).await
    }

    #[tokio::test]
    async fn both_families_listen_at_one_port() {
        let four = open_all(&["0.0.0.0:0"], Passed::none()).await.unwrap();
        let port = four[0].plain_address().unwrap().port();
        drop(four);
        let places = [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
        let both = open_all(&[&places[0], &places[1]], Passed::none()).await.unwrap();
        // A host without IPv6 has the first one alone.
        assert!(both.len() == 2 || std::net::TcpListener::bind("[::1]:0").is_err());
    }

    #[tokio::test]
    async fn a_place_that_is_taken_is_named() {
        let first = open_all(&["127.0.0.1:0"], Passed::none()).await.unwrap();
        let taken = first[0].plain_address().unwrap().to_string();
        let error = open_all(&[&taken], Passed::none()).await.unwrap_err();
        assert!(error.to_string().contains(&taken), "{error}");
    }

    #[tokio::test]
    async fn https_without_a_certificate_is_refused_with_what_to_set() {
        let error = open_all(&["https://127.0.0.1:0"], Passed::none()).await.unwrap_err();
        assert!(error.to_string().contains("tls.cert"), "{error}");
    }

    #[tokio::test]
    async fn sockets_of_before_are_used_again_and_what_is_configured_no_more_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let kept = format!("unix:{}", path.display());
        let gone = folder.path().join("gone");
        let goes = format!("unix:{}", gone.display());
        let places = ["127.0.0.1:0", &kept, &goes, "127.0.0.1:0"];
        let before = open_all(&places, Passed::none()).await.unwrap();
        let stays = before[0].plain_address().unwrap();
        let closes = before[3].plain_address().unwrap();
        let parts = before.into_iter().map(|listener| listener.into_parts().unwrap()).collect();
        assert!(path.exists() && gone.exists());
        let after = open_all(&[&stays.to_string(), &kept], Passed::of(parts)).await.unwrap();
        assert_eq!(after[0].plain_address(), Some(stays));
        assert!(after.iter().all(|listener| !listener.is_passed()));
        assert!(path.exists() && !gone.exists());
        assert!(TcpStream::connect(stays).await.is_ok());
        assert!(TcpStream::connect(closes).await.is_err());
        drop(after);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_managers_sockets_stand_in_for_all_places_and_keep_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs");
        let theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let passed = Passed::of(vec![(theirs.into(), "sky-island.socket".to_owned())]);
        let listeners = open_all(&["127.0.0.1:0"], passed).await.unwrap();
        assert_eq!(listeners.len(), 1);
        assert!(listeners[0].is_passed());
        assert_eq!(listeners[0].to_string(), format!("unix:{}", path.display()));
        drop(listeners);
        assert!(path.exists());
    }
}
