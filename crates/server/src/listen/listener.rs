//! Listeners: sockets bound at the endpoints of the configuration, or passed to this process.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::task::{Context, Poll};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::passed::{self, ListeningSocket, PassedError, PassedSocket, PassedSockets};
use super::unix::{self, SocketFile};
use crate::listen::endpoint::{Endpoint, Protocol};
use crate::listen::tls::Tls;

/// Connections that the system keeps until they are accepted; the system may have a lower limit.
pub(super) const BACKLOG: u32 = 4096;

/// A socket that listens for connections.
pub struct Listener {
    file: Option<SocketFile>,
    socket: Socket,
    /// The certificate; none where plain HTTP is served.
    tls: Option<Tls>,
    /// The name by which a service manager passed the socket; none for one that the server has
    /// bound.
    name: Option<String>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A new connection, of which nothing has been read.
pub enum Accepted {
    /// Plain TCP, and the peer's address.
    Tcp(TcpStream, SocketAddr),
    /// TCP on which TLS is spoken; the handshake is still to be made.
    Tls(TcpStream, SocketAddr, TlsAcceptor),
    /// A Unix socket, whose peer is on this host.
    Unix(UnixStream),
}

/// Why an endpoint cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system refuses the endpoint.
    #[error("cannot listen on {0}; set listen to another endpoint")]
    Bind(Endpoint, #[source] io::Error),
    /// The endpoint needs a certificate.
    #[error("{0}: HTTPS needs a certificate; set tls.cert and tls.key")]
    NoCertificate(Endpoint),
    /// A passed socket cannot be used.
    #[error(transparent)]
    Passed(#[from] PassedError),
}

/// Listens on all endpoints, or instead of them on the sockets of a service manager. A socket that
/// the server before this one handed over is used again for its endpoint, and closed where the
/// configuration does not have the endpoint any more.
pub async fn open(
    endpoints: &[Endpoint],
    tls: Option<&Tls>,
    passed: PassedSockets,
) -> Result<Vec<Listener>, ListenError> {
    let (ours, theirs): (Vec<_>, Vec<_>) = passed.open()?.into_iter().partition(|it| it.is_ours());
    if !theirs.is_empty() {
        return theirs.into_iter().map(|socket| adopt(socket, tls)).collect();
    }
    let mut handed_over = ours;
    let mut listeners = Vec::new();
    for endpoint in endpoints {
        let at =
            |it: &PassedSocket| endpoint.is_at(it.socket.address(), it.socket.path().as_deref());
        let found = handed_over.iter().position(at).map(|index| handed_over.swap_remove(index));
        let bound = match found {
            Some(socket) => reuse(socket),
            None => bind(endpoint).await,
        };
        let (socket, file) = match bound {
            Err(error) if endpoint.completes(endpoints) && has_no_ipv6(&error) => {
                tracing::info!(%endpoint, "no listener there: this host has no IPv6");
                continue;
            }
            bound => bound.map_err(|error| ListenError::Bind(endpoint.clone(), error))?,
        };
        listeners.push(Listener { file, socket, tls: certificate(endpoint, tls)?, name: None });
    }
    for socket in handed_over {
        // The configuration does not have the endpoint any more: the file of a Unix socket goes
        // too.
        drop(reuse(socket));
    }
    Ok(listeners)
}

fn certificate(endpoint: &Endpoint, tls: Option<&Tls>) -> Result<Option<Tls>, ListenError> {
    match endpoint {
        Endpoint::Tcp(_, Protocol::Either) => Ok(tls.cloned()),
        Endpoint::Tcp(_, Protocol::Https) => match tls {
            Some(tls) => Ok(Some(tls.clone())),
            None => Err(ListenError::NoCertificate(endpoint.clone())),
        },
        Endpoint::Tcp(_, Protocol::Http) | Endpoint::Unix(_) => Ok(None),
    }
}

async fn bind(endpoint: &Endpoint) -> io::Result<(Socket, Option<SocketFile>)> {
    match endpoint {
        Endpoint::Tcp(address, _) => Ok((Socket::Tcp(bind_address(*address)?), None)),
        Endpoint::Unix(path) => {
            let (listener, file) = unix::bind(path, BACKLOG).await?;
            Ok((Socket::Unix(listener), Some(file)))
        }
    }
}

/// Binds without SO_REUSEPORT, which shares a port: a second server has to fail, and connections in
/// the queue of a socket that is closed would be lost.
fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if address.is_ipv6() {
        // Whether [::] accepts IPv4 too differs between systems; here it never does.
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
    let file = socket.socket.path().map(|path| SocketFile::of(&path)).transpose()?;
    Ok((listening(socket.socket)?, file))
}

/// Listens on a service manager's socket. HTTPS is served there where there is a certificate,
/// unless the socket is named `http`.
fn adopt(socket: PassedSocket, tls: Option<&Tls>) -> Result<Listener, ListenError> {
    let plain = socket.name == passed::PLAIN || matches!(socket.socket, ListeningSocket::Unix(_));
    let tls = if plain { None } else { tls.cloned() };
    let name = socket.name;
    let listening = listening(socket.socket);
    let socket = listening.map_err(|error| PassedError::Use(name.clone(), error))?;
    Ok(Listener { file: None, socket, tls, name: Some(name) })
}

fn listening(socket: ListeningSocket) -> io::Result<Socket> {
    match socket {
        ListeningSocket::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            Ok(Socket::Tcp(TcpListener::from_std(listener)?))
        }
        ListeningSocket::Unix(listener) => {
            listener.set_nonblocking(true)?;
            Ok(Socket::Unix(UnixListener::from_std(listener)?))
        }
    }
}

impl Listener {
    /// Accepts the next connection.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match &self.socket {
            Socket::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, from)| {
                // A response is often one small packet; Nagle's algorithm would delay it.
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

    /// Whether a service manager passed the socket and keeps it open.
    pub fn is_passed(&self) -> bool {
        self.name.is_some()
    }

    /// The address at which plain HTTP is served, for a client on this host.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) if self.tls.is_none() => listener.local_addr().ok(),
            _ => None,
        }
    }

    /// The socket and the name to pass it by. The file of a Unix socket stays.
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

    async fn open_all(
        endpoints: &[&str],
        passed: PassedSockets,
    ) -> Result<Vec<Listener>, ListenError> {
        let endpoints: Vec<Endpoint> = endpoints.iter().map(|text| text.parse().unwrap()).collect();
        open(&endpoints, None, passed).await
    }

    #[tokio::test]
    async fn both_families_listen_at_one_port() {
        let four = open_all(&["0.0.0.0:0"], PassedSockets::none()).await.unwrap();
        let port = four[0].plain_address().unwrap().port();
        drop(four);
        let endpoints = [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
        let both = open_all(&[&endpoints[0], &endpoints[1]], PassedSockets::none()).await.unwrap();
        // A host without IPv6 has the first one alone.
        assert!(both.len() == 2 || std::net::TcpListener::bind("[::1]:0").is_err());
    }

    #[tokio::test]
    async fn an_endpoint_that_is_in_use_is_named() {
        let first = open_all(&["127.0.0.1:0"], PassedSockets::none()).await.unwrap();
        let taken = first[0].plain_address().unwrap().to_string();
        let error = open_all(&[&taken], PassedSockets::none()).await.unwrap_err();
        assert!(error.to_string().contains(&taken), "{error}");
    }

    #[tokio::test]
    async fn https_without_a_certificate_is_refused_with_the_keys_to_set() {
        let error = open_all(&["https://127.0.0.1:0"], PassedSockets::none()).await.unwrap_err();
        assert!(error.to_string().contains("tls.cert"), "{error}");
    }

    #[tokio::test]
    async fn handed_over_sockets_are_used_again_or_closed_where_they_are_not_configured_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let kept = format!("unix:{}", path.display());
        let gone = folder.path().join("gone");
        let goes = format!("unix:{}", gone.display());
        let endpoints = ["127.0.0.1:0", &kept, &goes, "127.0.0.1:0"];
        let before = open_all(&endpoints, PassedSockets::none()).await.unwrap();
        let stays = before[0].plain_address().unwrap();
        let closes = before[3].plain_address().unwrap();
        let parts = before.into_iter().map(|listener| listener.into_parts().unwrap()).collect();
        assert!(path.exists() && gone.exists());
        let after = open_all(&[&stays.to_string(), &kept], PassedSockets::of(parts)).await.unwrap();
        assert_eq!(after[0].plain_address(), Some(stays));
        assert!(after.iter().all(|listener| !listener.is_passed()));
        assert!(path.exists() && !gone.exists());
        assert!(TcpStream::connect(stays).await.is_ok());
        assert!(TcpStream::connect(closes).await.is_err());
        drop(after);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_managers_sockets_replace_all_endpoints_and_keep_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs");
        let theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let passed = PassedSockets::of(vec![(theirs.into(), "sky-island.socket".to_owned())]);
        let listeners = open_all(&["127.0.0.1:0"], passed).await.unwrap();
        assert_eq!(listeners.len(), 1);
        assert!(listeners[0].is_passed());
        assert_eq!(listeners[0].to_string(), format!("unix:{}", path.display()));
        drop(listeners);
        assert!(path.exists());
    }
}
