//! The side of a server that clients see: its listeners, its connections, and how they end.
//!
//! There are two ways to end. A server whose sockets are its own drains: it keeps them open and
//! tells clients that it ends until no call runs any more. A server whose sockets another process
//! has, or will have, leaves: it accepts no more connections, and the other process accepts them.

use std::mem::take;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::manager;
use super::parts::Parts;
use super::signals::Signals;
use crate::calls::{CallService, Phase};
use crate::config::Config;
use crate::http::{self, Admin, App, AppParts, ConnectionLimits, Connections, Guard};
use crate::listen::Listener;

/// How long a client may keep an idle connection once another process accepts the connections. A
/// request that comes in that time is answered with `connection: close`, so that no request meets a
/// closed connection.
const IDLE_WAIT: Duration = Duration::from_secs(2);
/// How long clients may take to read the answers of calls that were killed.
const KILLED_WAIT: Duration = Duration::from_secs(10);

/// The listeners and connections of a server.
pub(super) struct Frontend {
    connections: Arc<Connections>,
    accepting: JoinHandle<Vec<Listener>>,
    stop_accepting: CancellationToken,
    calls: Arc<CallService>,
    phase: Phase,
    /// Whether another process has the sockets too, and can accept connections from them.
    shared: bool,
    /// The listeners that this server has left.
    left: Vec<Listener>,
}

impl Frontend {
    pub(super) fn open(
        config: &Config,
        parts: &Parts,
        admin: Admin,
        listeners: Vec<Listener>,
    ) -> Self {
        let (calls, phase) = (parts.calls.clone(), parts.calls.phase().clone());
        let app =
            App::new(AppParts { calls: calls.clone(), metrics: parts.metrics.clone(), admin });
        let guard = Guard::new(&config.hosts(), &config.cors_origins);
        let router = http::open_to(http::router(app, guard), &config.cors_origins);
        let limits = ConnectionLimits {
            connections: config.connections(),
            per_client: config.connections_per_client(),
            head_wait: config.head_wait(),
            answer_wait: config.answer_wait(),
        };
        let connections = Connections::new(router, phase.clone(), limits);
        let stop_accepting = CancellationToken::new();
        let shared = listeners.iter().any(Listener::is_passed);
        let accepting = tokio::spawn(connections.clone().take(listeners, stop_accepting.clone()));
        Self { connections, accepting, stop_accepting, calls, phase, shared, left: Vec::new() }
    }

    /// Reports to the service manager's watchdog as long as connections are accepted.
    pub(super) fn watchdog(&self) -> impl Future<Output = ()> + Send + 'static {
        let (accepting, stopped) = (self.accepting.abort_handle(), self.stop_accepting.clone());
        manager::watchdog(move || {
            let works = !accepting.is_finished() || stopped.is_cancelled();
            async move { works }
        })
    }

    /// Ends all connections and calls. Returns the listeners if they are handed over; a signal to
    /// stop while the server ends takes that back.
    pub(super) async fn end(
        &mut self,
        hand_over: bool,
        grace: Duration,
        signals: &mut Signals,
    ) -> Option<Vec<Listener>> {
        let phase = self.phase.clone();
        let mut stopped = false;
        {
            let leaves = hand_over || self.shared;
            let mut end =
                pin!(async { if leaves { self.leave().await } else { self.drain().await } });
            let why = tokio::select! {
                () = &mut end => None,
                () = sleep(grace) => Some("shutdown_grace is over"),
                () = signals.stop() => {
                    stopped = true;
                    Some("a second signal to stop")
                }
            };
            if let Some(why) = why {
                tracing::warn!(why, ?grace, "calls under way are killed");
                phase.force();
                if timeout(KILLED_WAIT, &mut end).await.is_err() {
                    tracing::warn!(within = ?KILLED_WAIT, "some clients did not read their answers in time");
                }
            }
        }
        (hand_over && !stopped).then(|| take(&mut self.left))
    }

    /// From now on clients are told that the server ends, before the log says so.
    pub(super) fn announce_end(&self, hand_over: bool) {
        if hand_over || self.shared {
            self.phase.leave();
        } else {
            self.phase.drain();
        }
    }

    /// Ends with sockets that no other process has.
    async fn drain(&mut self) {
        self.phase.drain();
        self.calls.ended().await;
        self.stop_accepting.cancel();
        if let Ok(listeners) = (&mut self.accepting).await {
            self.connections.take_last(&listeners).await;
            // The listeners close here: the system refuses a client that comes later.
        }
        self.end_connections().await;
    }

    /// Ends with sockets that another process accepts connections from.
    async fn leave(&mut self) {
        self.phase.leave();
        if self.connections.count() > 0 {
            tokio::select! {
                () = sleep(IDLE_WAIT) => {}
                () = self.phase.forced() => {}
            }
        }
        self.stop_accepting.cancel();
        // The task neither panics nor is aborted.
        self.left = (&mut self.accepting).await.unwrap_or_default();
        self.end_connections().await;
    }

    async fn end_connections(&self) {
        self.connections.end().await;
        // A call goes on when its client hangs up.
        self.calls.ended().await;
    }
}
