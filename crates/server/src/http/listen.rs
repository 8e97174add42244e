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
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::requests::Requests;
use crate::calls::Phase;
use crate::http::peer::Peer;
use crate::listen::{Accepted, Listener};

/// How long to wait before the next attempt when the system cannot accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// How long a silent connection may take to send its first byte, once connections are to end.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The limits of a server's connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Open connections at once; further connections wait in the system's queue.
    pub connections: usize,
    /// How long a connection may take to send the head of its next request.
    pub head_wait: Duration,
}

/// All connections of a server.
pub struct Connections {
    router: Router,
    phase: Phase,
    head_wait: Duration,
    permits: Arc<Semaphore>,
    /// Set once, when connections are to end.
    end: watch::Sender<bool>,
    open: TaskTracker,
}

impl Connections {
    /// Connections that are answered by these routes.
    pub fn new(router: Router, phase: Phase, limits: ConnectionLimits) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let (end, _) = watch::channel(false);
        let (open, head_wait) = (TaskTracker::new(), limits.head_wait);
        Arc::new(Self { router, phase, head_wait, permits, end, open })
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
        let open = self.open.clone();
        open.spawn(async move {
            match accepted {
                Accepted::Tcp(stream, from) => self.answer(stream, Peer::Address(from)).await,
                Accepted::Unix(stream) => {
                    let user = stream.peer_cred().ok().map(|peer| peer.uid());
                    self.answer(stream, Peer::Unix(user)).await;
                }
                Accepted::Tls(stream, from, acceptor) => {
                    let handshake = timeout(HANDSHAKE_WAIT, acceptor.accept(stream));
                    // A failed handshake concerns its client alone, so it is not logged.
                    if let Some(Ok(Ok(stream))) = self.unless_silent(handshake).await {
                        self.answer(stream, Peer::Address(from)).await;
                    }
                }
            }
            drop(permit);
        });
    }

    /// Answers the requests of one connection.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: Peer) {
        let begun = Arc::new(AtomicBool::new(false));
        let requests = Requests::new(self.router.clone(), self.phase.clone(), begun.clone(), peer);
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.head_wait)
                .serve_connection(TokioIo::new(stream), requests)
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
