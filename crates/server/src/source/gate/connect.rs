//! A connection to a host of which the addresses are checked: the name is resolved once, and the
//! connection goes to one of the addresses that were looked at.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use fetch_job::{Host, Permit, Place, Reach};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long the resolution of a name may take.
const RESOLVE: Duration = Duration::from_secs(5);
/// How long the connection to one of the addresses may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The pause before the next address is tried beside the first (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// The most addresses of a host that are tried.
const ADDRESSES: usize = 8;
/// The most names that are resolved at once. A resolution that nothing waits for any more ends when
/// the system gives up.
const LOOKUPS: usize = 64;

/// Why there is no connection. The operator reads it in the log, and no caller does.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The operator does not permit the host or the port.
    #[error(
        "the host or the port is not permitted (sources.allow, sources.deny, sources.private_hosts)"
    )]
    Forbidden,
    /// The system does not know the name.
    #[error("the name cannot be resolved")]
    Resolve(#[source] io::Error),
    /// No address of the host is permitted.
    #[error("no address of the host is public (sources.private_hosts)")]
    Addresses,
    /// A step took too long.
    #[error("{0} took too long")]
    Late(&'static str),
    /// No address answers.
    #[error("the connection failed")]
    Connect(#[source] io::Error),
    /// The operator's proxy does not answer or refuses.
    #[error("the proxy {proxy} of the environment failed: {reason}")]
    Proxy {
        /// The proxy, without credentials.
        proxy: String,
        /// Why.
        reason: String,
    },
}

/// Resolves a name, and waits for it.
pub(super) type Resolve = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Resolves names, a bounded number at once.
#[derive(Clone)]
pub(super) struct Resolver {
    resolve: Arc<Resolve>,
    lookups: Arc<Semaphore>,
}

impl Resolver {
    /// The system's resolver.
    pub(super) fn system() -> Self {
        Self::new(|name, port| Ok((name, port).to_socket_addrs()?.collect()))
    }

    pub(super) fn new(
        resolve: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { resolve: Arc::new(resolve), lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    async fn addresses(&self, place: &Place) -> Result<Vec<SocketAddr>, ConnectError> {
        let port = place.port;
        let name = match &place.host {
            Host::Address(address) => return Ok(vec![(*address, port).into()]),
            Host::Name(name) => name.clone(),
        };
        let look_up = async {
            let permit = self.lookups.clone().acquire_owned().await;
            let resolve = self.resolve.clone();
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                resolve(&name, port)
            })
            .await
            .unwrap_or_else(|lost| Err(io::Error::other(lost)))
        };
        match timeout(RESOLVE, look_up).await {
            Ok(found) => found.map_err(ConnectError::Resolve),
            Err(_) => Err(ConnectError::Late("the resolution of the name")),
        }
    }

    /// Connects to a place at the addresses of which `admits` is true.
    pub(super) async fn connect(
        &self,
        place: &Place,
        admits: impl Fn(SocketAddr) -> bool,
    ) -> Result<TcpStream, ConnectError> {
        let found = self.addresses(place).await?;
        let admitted: Vec<_> =
            found.into_iter().filter(|address| admits(*address)).take(ADDRESSES).collect();
        if admitted.is_empty() {
            return Err(ConnectError::Addresses);
        }
        match timeout(CONNECT, first(&admitted)).await {
            Ok(stream) => stream.map_err(ConnectError::Connect),
            Err(_) => Err(ConnectError::Late("the connection")),
        }
    }

    /// Connects to a place that has this permit.
    pub(super) async fn connect_permitted(
        &self,
        reach: &Reach,
        permit: Permit,
        place: &Place,
    ) -> Result<TcpStream, ConnectError> {
        self.connect(place, |address| reach.admits(permit, address.ip(), address.port())).await
    }
}

/// The first connection that one of the addresses gives. The next address has its turn when one has
/// failed, or after a moment.
async fn first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match waiting.next() {
            Some(address) => drop(attempts.spawn(TcpStream::connect(address))),
            None if attempts.is_empty() => return Err(error),
            None => {}
        }
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(failed)) => error = failed,
                Err(lost) => error = io::Error::other(lost),
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::of_authority(text).unwrap()
    }

    #[tokio::test]
    async fn a_connection_goes_to_an_address_that_was_checked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = asked.clone();
        let resolver = Resolver::new(move |name, _| {
            assert_eq!(name, "git.example");
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            // The first is not admitted, the second does not answer.
            Ok(vec!["127.0.0.2:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap(), at])
        });
        let stream = resolver
            .connect(&place("git.example:443"), |address| address.ip() == at.ip())
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), at);
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
        let none = resolver.connect(&place("git.example:443"), |_| false).await;
        assert!(matches!(none, Err(ConnectError::Addresses)), "{none:?}");
    }

    #[tokio::test]
    async fn an_address_is_not_resolved_and_a_refusal_is_an_error() {
        let resolver = Resolver::new(|name, _| panic!("{name} was resolved"));
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = resolver.connect(&place(&closed.to_string()), |_| true).await;
        assert!(matches!(refused, Err(ConnectError::Connect(_))), "{refused:?}");
        let unknown = Resolver::new(|_, _| Err(io::Error::other("unknown")));
        let unknown = unknown.connect(&place("a.b:1"), |_| true).await;
        assert!(matches!(unknown, Err(ConnectError::Resolve(_))), "{unknown:?}");
    }
}
