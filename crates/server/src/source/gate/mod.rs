//! The gate of a fetch: the one way out of an island that has no network of its own.
//!
//! A gate is an HTTP proxy of the server at a unix socket in the root of one island. It connects
//! only to hosts and ports that [`Reach`] permits, at addresses that it has checked; it answers one
//! and the same sentence for every connection that was not made; it bounds the heads, the bytes and
//! the connections of the fetch, and ends with it.
//!
//! Invariants: nothing that a host has sent is parsed here but the answer of the operator's own
//! proxy; a request of the island is read up to [`request::HEAD_BYTES`].

mod connect;
mod request;
mod socket;
mod tunnel;
mod upstream;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::causes;
use fetch_job::{NO_CONNECTION, Permit, Place, Reach};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use connect::{ConnectError, Resolver};
use request::{HEAD_BYTES, ProxyRequest};
use tunnel::Allowance;
use upstream::{Connection, Rest};

pub use socket::GateSocket;
pub use upstream::Proxies;

/// The most connections of one fetch at once.
const AT_ONCE: usize = 64;
/// The most connections of one fetch from its begin to its end. A module proxy without TLS costs a
/// connection for each request.
const IN_ALL: usize = 16 << 10;
/// How long a request may take to arrive.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// The soonest that a stranger's host is called out of reach, so that the time does not tell a name
/// that is not there from one that is not permitted.
const REFUSAL: Duration = Duration::from_millis(200);
/// The pause after the system has refused a connection for want of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// The most failures of one fetch that the log has.
const NOTED: usize = 32;
/// Bytes beside what a fetch may receive and unpack: handshakes, heads, lists of versions.
const OVERHEAD: u64 = 16 << 20;

/// What the gates of all fetches have in common.
pub struct GatePolicy {
    reach: Reach,
    proxies: Proxies,
    resolver: Resolver,
}

impl GatePolicy {
    /// Connects to these hosts, through these proxies.
    pub fn new(reach: Reach, proxies: Proxies) -> Self {
        Self { reach, proxies, resolver: Resolver::system() }
    }

    /// The same, with another resolver of names.
    pub fn resolving(
        self,
        resolve: impl Fn(&str, u16) -> io::Result<Vec<std::net::SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { resolver: Resolver::new(resolve), ..self }
    }

    /// The hosts.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Makes the connection that a request asks for, and sends it the request's head, if that is
    /// for the host. Returns what the host has sent already.
    async fn open(
        &self,
        request: &ProxyRequest,
        permit: Option<Permit>,
    ) -> Result<(Box<dyn Connection>, Rest), ConnectError> {
        let (place, permit) = (request.place(), permit.ok_or(ConnectError::Forbidden)?);
        let tunnel = matches!(request, ProxyRequest::Tunnel(_));
        let upstream = self.proxies.through(place, tunnel)?;
        let (mut connection, rest) = match &upstream {
            Some(upstream) if tunnel => upstream.tunnel(&self.resolver, place).await?,
            Some(upstream) => (upstream.connect(&self.resolver).await?, Vec::new()),
            None => {
                let connected = self.resolver.connect_permitted(&self.reach, permit, place);
                (Box::new(connected.await?) as Box<dyn Connection>, Vec::new())
            }
        };
        if let ProxyRequest::Forward(forward) = request {
            let head = forward.head(upstream.as_ref().map(|it| it.authorization()));
            connection.write_all(&head).await.map_err(ConnectError::Connect)?;
        }
        Ok((connection, rest))
    }
}

/// The gate of one fetch. A dropped one closes all its connections.
pub struct Gate(JoinHandle<()>);

impl Gate {
    /// Opens the gate at a socket, for a fetch that may receive `bytes`.
    pub fn open(socket: GateSocket, policy: Arc<GatePolicy>, bytes: u64) -> io::Result<Self> {
        let listener = socket.listen()?;
        // What is unpacked was received before, and the go command keeps both.
        let allowance = bytes.saturating_mul(2).saturating_add(OVERHEAD);
        let bounds =
            FetchBounds { allowance: Allowance::new(allowance), noted: AtomicUsize::new(0) };
        Ok(Self(tokio::spawn(serve(listener, policy, Arc::new(bounds)))))
    }

    /// Closes the gate and all its connections.
    pub async fn close(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the connections of one fetch have together.
struct FetchBounds {
    allowance: Allowance,
    /// Failures that are in the log.
    noted: AtomicUsize,
}

async fn serve(listener: UnixListener, policy: Arc<GatePolicy>, bounds: Arc<FetchBounds>) {
    let mut open = JoinSet::new();
    for _ in 0..IN_ALL {
        let client = loop {
            tokio::select! {
                accepted = listener.accept(), if open.len() < AT_ONCE => match accepted {
                    Ok((client, _)) => break client,
                    Err(_) => sleep(ACCEPT_RETRY).await,
                },
                Some(_) = open.join_next() => {}
            }
        };
        open.spawn(answer(client, policy.clone(), bounds.clone()));
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Answers one request of the island.
async fn answer(mut client: UnixStream, policy: Arc<GatePolicy>, bounds: Arc<FetchBounds>) {
    let begin = Instant::now();
    let Ok(Some((request, behind))) = timeout(HEAD_WAIT, receive(&mut client)).await else {
        let _ =
            client.write_all(&refusal(400, "the request is none that this proxy answers")).await;
        return;
    };
    let permit = policy.reach.permit(request.place());
    match policy.open(&request, permit).await {
        Ok((connection, rest)) => {
            let joined = carry(client, connection, &request, behind, rest, &bounds.allowance).await;
            if let Err(error) = joined {
                let place = request.place();
                tracing::debug!(%place, %error, "a connection of a fetch has ended early");
            }
        }
        Err(error) => {
            bounds.note(request.place(), &error);
            if permit != Some(Permit::Anywhere) {
                sleep_until(begin + REFUSAL).await;
            }
            let _ = client.write_all(&refusal(502, NO_CONNECTION)).await;
        }
    }
}

/// Reads the head of a request, and what came with it; none if there is no request.
async fn receive(client: &mut UnixStream) -> Option<(ProxyRequest, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(1 << 10);
    while bytes.len() < HEAD_BYTES {
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some((request, length)) = ProxyRequest::parse(&bytes).ok()? {
            let behind = bytes.split_off(length);
            return Some((request, behind));
        }
    }
    None
}

/// Carries the bytes of a connection that was made, after what both sides have sent already.
async fn carry(
    mut client: UnixStream,
    mut connection: Box<dyn Connection>,
    request: &ProxyRequest,
    behind: Vec<u8>,
    rest: Rest,
    allowance: &Allowance,
) -> io::Result<()> {
    if let ProxyRequest::Tunnel(_) = request {
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    }
    client.write_all(&rest).await?;
    connection.write_all(&behind).await?;
    connection.flush().await?;
    tunnel::join(client, connection, allowance).await
}

impl FetchBounds {
    /// Tells the operator, and only the operator, why a fetch got no connection.
    fn note(&self, place: &Place, error: &ConnectError) {
        if self.noted.fetch_add(1, Ordering::Relaxed) < NOTED {
            let error = causes::chain(error);
            tracing::info!(%place, %error, "a fetch got no connection");
        }
    }
}

/// An answer without a body. The go command shows the words behind the status.
fn refusal(status: u16, words: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} {words}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into()
}
