//! Connections: how many there are, how long they may be silent, and how they end.
//!
//! Invariants: a request that has begun to arrive is answered, unless the server is killed. No
//! connection delays the acceptance of other connections.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use common::fair::{FairSlots, Shares};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::requests::Requests;
use crate::calls::Phase;
use crate::http::peer::Peer;
use crate::listen::{Accepted, Listener};
use crate::principal::{Client, Principal};

/// How long to wait before the next attempt when the system cannot accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// How long a silent connection may take to send its first byte, once connections are to end.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The answer to a connection of a client that has its whole share of connections.
const OVER_SHARE: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    content-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    {\"type\":\"urn:sky-island:over_share\",\"title\":\"Over its share\",\"status\":429,\
    \"detail\":\"this client has too many open connections (limits.per_client.connections); close some\",\
    \"code\":\"over_share\"}";

/// The limits of a server's connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Open connections at once; further connections wait in the system's queue.
    pub connections: usize,
    /// Open connections of one client at once; further ones are closed.
    pub per_client: usize,
    /// How long a connection may take to send the head of its next request.
    pub head_wait: Duration,
    /// How long a client may read nothing of an answer.
    pub answer_wait: Duration,
}

/// All connections of a server.
pub struct Connections {
    router: Router,
    phase: Phase,
    limits: ConnectionLimits,
    permits: Arc<Semaphore>,
    shares: FairSlots<Client, ()>,
    /// Set once, when connections are to end.
    end: watch::Sender<bool>,
    open: TaskTracker,
}

impl Connections {
    /// Connections that are answered by these routes.
    pub fn new(router: Router, phase: Phase, limits: ConnectionLimits) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let (end, _) = watch::channel(false);
        let shares = Shares { slots: limits.connections, per_client: limits.per_client };
        let (open, shares) = (TaskTracker::new(), FairSlots::new(shares));
        Arc::new(Self { router, phase, limits, permits, shares, end, open })
    }

    /// The number of open connections.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Accepts connections until it is stopped, and returns the listeners.
    pub async fn take(
        self: Arc<Self>,
        listeners: Vec<Listener>,
        stop: CancellationToken,
    ) -> Vec<Listener> {
        let mut turn = 0;
        loop {
            let next = async {
                // The semaphore is never closed.
                let permit = self.permits.clone().acquire_owned().await.ok()?;
                Some((permit, accept(&listeners, &mut turn).await))
            };
            match stop.run_until_cancelled(next).await {
                Some(Some((permit, accepted))) => self.clone().start(permit, accepted),
                _ => return listeners,
            }
        }
    }

    /// Accepts the connections that wait at listeners about to be closed, up to the limit of
    /// connections.
    pub async fn take_last(self: &Arc<Self>, listeners: &[Listener]) {
        let mut turn = 0;
        while let Ok(permit) = self.permits.clone().try_acquire_owned() {
            let now = poll_fn(|context| Poll::Ready(poll_any(listeners, &mut turn, context))).await;
            let Poll::Ready(Ok(accepted)) = now else { return };
            self.clone().start(permit, accepted);
        }
    }

    /// Ends the idle connections, and waits until the requests of the others are answered.
    pub async fn end(&self) {
        self.end.send_replace(true);
        self.open.close();
        self.open.wait().await;
    }

    fn start(self: Arc<Self>, permit: OwnedSemaphorePermit, accepted: Accepted) {
        let peer = peer(&accepted);
        let client = Principal::from(peer).client();
        let Some(share) = self.shares.try_acquire(&client) else {
            tracing::debug!(%peer, "a connection was closed: the client has its whole share of them");
            return refuse(&accepted);
        };
        let open = self.open.clone();
        open.spawn(async move {
            match accepted {
                Accepted::Tcp(stream, _) => self.answer(stream, peer).await,
                Accepted::Unix(stream) => self.answer(stream, peer).await,
                Accepted::Tls(stream, _, acceptor) => {
                    let handshake = timeout(HANDSHAKE_WAIT, acceptor.accept(stream));
                    // A failed handshake concerns its client alone, so it is not logged.
                    if let Some(Ok(Ok(stream))) = self.unless_silent(handshake).await {
                        self.answer(stream, peer).await;
                    }
                }
            }
            drop((permit, share));
        });
    }

    /// Answers the requests of one connection.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: Peer) {
        let begun = Arc::new(AtomicBool::new(false));
        let requests = Requests::new(self.router.clone(), self.phase.clone(), begun.clone(), peer);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.answer_wait));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.head_wait)
                .serve_connection(TokioIo::new(Box::pin(stream)), requests)
        );
        tokio::select! {
            biased;
            _ = &mut connection => return,
            () = self.ending() => {}
        }
        if !begun.load(Ordering::Relaxed) {
            // A request of a connection that was just accepted may be on its way.
            let first = poll_fn(|context| match connection.as_mut().poll(context) {
                Poll::Pending if !begun.load(Ordering::Relaxed) => Poll::Pending,
                ended => Poll::Ready(ended.is_ready()),
            });
            if timeout(FIRST_WAIT, first).await == Ok(true) {
                return;
            }
        }
        // An idle connection closes now, another one after its answer.
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    /// The result of a connection's first step; none if the step takes too long once connections
    /// are to end.
    async fn unless_silent<T>(&self, step: impl Future<Output = T>) -> Option<T> {
        let silent = async {
            self.ending().await;
            tokio::time::sleep(FIRST_WAIT).await;
        };
        tokio::select! {
            biased;
            done = step => Some(done),
            () = silent => None,
        }
    }

    /// Resolves when connections are to end.
    async fn ending(&self) {
        let mut end = self.end.subscribe();
        // The sender lives as long as this value.
        let _ = end.wait_for(|end| *end).await;
    }
}

fn peer(accepted: &Accepted) -> Peer {
    match accepted {
        Accepted::Tcp(_, from) | Accepted::Tls(_, from, _) => Peer::Address(*from),
        Accepted::Unix(stream) => Peer::Unix(stream.peer_cred().ok().map(|peer| peer.uid())),
    }
}

/// Says why a connection is closed, where that takes no time.
fn refuse(accepted: &Accepted) {
    let _ = match accepted {
        Accepted::Tcp(stream, _) => stream.try_write(OVER_SHARE),
        Accepted::Unix(stream) => stream.try_write(OVER_SHARE),
        // There is no TLS yet to say it in.
        Accepted::Tls(..) => Ok(0),
    };
}

/// The next connection of any listener, in turns.
async fn accept(listeners: &[Listener], turn: &mut usize) -> Accepted {
    loop {
        match poll_fn(|context| poll_any(listeners, turn, context)).await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn poll_any(
    listeners: &[Listener],
    turn: &mut usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<Accepted>> {
    for _ in 0..listeners.len() {
        *turn = (*turn + 1) % listeners.len();
        if let Poll::Ready(ready) = listeners[*turn].poll_accept(context) {
            return Poll::Ready(ready);
        }
    }
    Poll::Pending
}
