//! Connections: how many there are, how long they may be silent, and how they end.
//!
//! What must always hold: a request that has begun to arrive is answered, however the server ends, as long as it is not
//! killed; no connection keeps the others from being taken.

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

/// How long to wait when the system has no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// How long a connection that has not sent anything yet may take to begin, once connections end.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What one server's connections may do.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once; further ones wait in the system's own queue.
    pub connections: usize,
    /// How long one may take to send the head of its next request.
    pub head_wait: Duration,
}

/// All connections of a server.
pub struct Connections {
    router: Router,
    phase: Phase,
    head_wait: Duration,
    permits: Arc<Semaphore>,
    /// Says once that connections end.
    end: watch::Sender<bool>,
    open: TaskTracker,
}

impl Connections {
    /// Connections on which these routes are asked.
    pub fn new(router: Router, phase: Phase, limits: ConnectionLimits) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let (end, _) = watch::channel(false);
        let (open, head_wait) = (TaskTracker::new(), limits.head_wait);
        Arc::new(Self { router, phase, head_wait, permits, end, open })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Takes connections until it is stopped, and gives the listeners back.
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

    /// Takes what waits at listeners that are about to be closed, as far as there is room.
    pub async fn take_last(self: &Arc<Self>, listeners: &[Listener]) {
        let mut turn = 0;
        while let Ok(permit) = self.permits.clone().try_acquire_owned() {
            let now = poll_fn(|context| Poll::Ready(poll_any(listeners, &mut turn, context))).await;
            let Poll::Ready(Ok(accepted)) = now else { return };
            self.clone().start(permit, accepted);
        }
    }

    /// Ends those on which no request is under way, and waits until the others have had their answers.
    pub async fn end(&self) {
        self.end.send_replace(true);
        self.open.close();
        self.open.wait().await;
    }

    fn start(self: Arc<Self>, permit: OwnedSemaphorePermit, accepted: Accepted) {
        let open = self.open.clone();
        open.spawn(async move {
            match accepted {
                Accepted::Tcp(stream, from) => self.converse(stream, Peer::Address(from)).await,
                Accepted::Unix(stream) => {
                    let user = stream.peer_cred().ok().map(|peer| peer.uid());
                    self.converse(stream, Peer::Unix(user)).await;
                }
                Accepted::Tls(stream, from, acceptor) => {
                    let handshake = timeout(HANDSHAKE_WAIT, acceptor.accept(stream));
                    // One that fails is its client's affair, as is how a connection ended.
                    if let Some(Ok(Ok(stream))) = self.unless_silent(handshake).await {
                        self.converse(stream, Peer::Address(from)).await;
                    }
                }
            }
            drop(permit);
        });
    }

    /// Answers the requests of one connection.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: Peer) {
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
            // One that has just been taken may have a request under way to us.
            let first = poll_fn(|context| match connection.as_mut().poll(context) {
                Poll::Pending if !begun.load(Ordering::Relaxed) => Poll::Pending,
                ended => Poll::Ready(ended.is_ready()),
            });
            if timeout(FIRST_WAIT, first).await == Ok(true) {
                return;
            }
        }
        // Closes it now if it waits for a request, and else behind the answer.
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    /// What comes of the first step of a connection; none if it takes too long once connections end.
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

    /// Resolves when connections end.
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
                tracing::warn!(%error, "a connection could not be taken");
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
