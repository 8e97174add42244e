//! A server from its first connection to its last: what is served, what orders do, and the order of an end.
//!
//! What must always hold: calls under way when the end begins have `shutdown_grace`; whatever ends them, everything made
//! is given back before this returns; a socket that somebody else has, or will have, loses nobody who waits in its queue.

use std::mem::take;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::admin_auth::AdminAuth;
use super::background::BackgroundTasks;
use super::reload::Reload;
use crate::calls::{CallService, Phase};
use crate::config::Config;
use crate::config::Settings;
use crate::http;
use crate::http::Admin;
use crate::http::{App, AppParts};
use crate::http::{ConnectionLimits, Connections};
use crate::listen;
use crate::listen::Listener;
use crate::listen::Tls;
use crate::listen::{Outgoing, Passed};
use crate::log;
use crate::metrics::Target;
use crate::server::signals::{Action, Signals};
use crate::server::successor::Successor;
use crate::server::{Parts, StartupError, manager};

/// How long a client may keep a connection without using it, once another process gets the connections to come: whoever
/// asks again meanwhile is told in the answer that it was the last one. Nobody's request then meets a closed connection.
const IDLE_WAIT: Duration = Duration::from_secs(2);
/// How long what is killed may take to answer.
const KILLED_WAIT: Duration = Duration::from_secs(10);

/// How a server ended.
#[derive(Debug)]
pub enum Ended {
    /// All is given back.
    Stopped,
    /// Likewise, but the sockets are still open, for the program that takes over.
    HandedOver(Outgoing),
}

/// Serves until it is ordered to end; then calls end, and everything made is given back.
pub async fn serve(
    settings: Settings,
    successor: &Successor,
    mut signals: Signals,
) -> Result<Ended, StartupError> {
    let config = &settings.config().clone();
    let passed = Passed::take()?;
    let tls = match &config.tls {
        Some(tls) => Some(Tls::load(&tls.cert, &tls.key)?),
        None => None,
    };
    let statsd: Option<Target> =
        config.jails.monitoring_addr.as_deref().map(str::parse).transpose()?;
    let mut parts = Parts::assemble(config).await?;
    let open = async {
        let door = AdminAuth::open(config, parts.state.path())?;
        Ok((door, listen::open(&config.places(), tls.as_ref(), passed).await?))
    };
    let (door, listeners) = match open.await {
        Ok(opened) => opened,
        Err(error) => {
            parts.close().await;
            return Err(error);
        }
    };
    announce(&mut parts, &listeners);
    parts.say_what_is_missing();
    if let Some(target) = statsd {
        // Numbers are no reason not to serve.
        if let Err(error) = parts.metrics.send_to(target) {
            tracing::warn!(%error, "no numbers are sent: there is no thread for it");
        }
    }
    let chores = BackgroundTasks::begin(&parts, config.go.warm);
    let configuration = Reload::new(settings, &parts, door.clone());
    let admin = Admin::new(door.access, configuration.shown());
    let mut front = Frontend::open(config, &parts, admin, listeners);
    chores.add(front.watched());
    manager::ready();
    let action = loop {
        match signals.next().await {
            Action::Reload => reload(&configuration, tls.as_ref()).await,
            Action::HandOver if !successor.could_start() => {}
            action => break action,
        }
    };
    if action == Action::HandOver {
        manager::reloading()
    } else {
        manager::stopping()
    }
    tracing::info!(?action, "the server ends");
    parts.state.withdraw();
    let left =
        front.end(action == Action::HandOver, configuration.shutdown_grace(), &mut signals).await;
    chores.end().await;
    let metrics = parts.metrics.clone();
    parts.close().await;
    metrics.finish();
    Ok(match left {
        Some(listeners) => {
            Ended::HandedOver(Outgoing::of(listeners).map_err(StartupError::HandOver)?)
        }
        None => Ended::Stopped,
    })
}

/// Says where the server listens, to people and to whoever finds the state directory in use.
fn announce(parts: &mut Parts, listeners: &[Listener]) {
    let plain = listeners.iter().find(|listener| listener.plain_address().is_some());
    if let Some(listener) = plain.or(listeners.first()) {
        parts.state.announce(&listener.to_string());
    }
    for listener in listeners {
        tracing::info!(state = %parts.state.path().display(), "sky-island serves {listener}");
    }
}

/// Reads again what can change. What cannot be used leaves the old in force.
async fn reload(configuration: &Reload, tls: Option<&Tls>) {
    manager::reloading();
    if let Err(error) = log::reopen() {
        let reason = common::causes::chain(&error);
        tracing::warn!(%reason, "the log stays in the file that was open");
    }
    configuration.read().await;
    match tls.map(Tls::reload) {
        Some(Ok(())) => tracing::info!("the certificate was read again"),
        Some(Err(error)) => {
            let reason = common::causes::chain(&error);
            tracing::error!(reason, "the certificate stays as it was");
        }
        None => {}
    }
    manager::ready();
}

/// What clients see of a server.
struct Frontend {
    connections: Arc<Connections>,
    taking: JoinHandle<Vec<Listener>>,
    stop_taking: CancellationToken,
    calls: Arc<CallService>,
    phase: Phase,
    /// Whether the sockets are somebody else's too, who has other servers for them.
    shared: bool,
    /// Those that no connections are taken from any more, and that others do.
    left: Vec<Listener>,
}

impl Frontend {
    fn open(config: &Config, parts: &Parts, admin: Admin, listeners: Vec<Listener>) -> Self {
        let (calls, phase) = (parts.calls.clone(), parts.calls.phase().clone());
        let app =
            App::new(AppParts { calls: calls.clone(), metrics: parts.metrics.clone(), admin });
        let router = http::open_to(http::router(app), &config.cors_origins);
        let limits =
            ConnectionLimits { connections: config.connections(), head_wait: config.head_wait() };
        let connections = Connections::new(router, phase.clone(), limits);
        let stop_taking = CancellationToken::new();
        let shared = listeners.iter().any(Listener::is_passed);
        let taking = tokio::spawn(connections.clone().take(listeners, stop_taking.clone()));
        Self { connections, taking, stop_taking, calls, phase, shared, left: Vec::new() }
    }

    /// Tells a service manager that connections are taken, for as long as they should be.
    fn watched(&self) -> impl Future<Output = ()> + Send + 'static {
        let (taking, stopped) = (self.taking.abort_handle(), self.stop_taking.clone());
        manager::watch(move || {
            let works = !taking.is_finished() || stopped.is_cancelled();
            async move { works }
        })
    }

    /// Ends all that clients have of the server, and gives back the listeners if they are to be passed on.
    async fn end(
        &mut self,
        pass_on: bool,
        grace: Duration,
        signals: &mut Signals,
    ) -> Option<Vec<Listener>> {
        let phase = self.phase.clone();
        let mut told_again = false;
        {
            let leaves = pass_on || self.shared;
            let mut end =
                pin!(async { if leaves { self.leave().await } else { self.drain().await } });
            let why = tokio::select! {
                () = &mut end => None,
                () = sleep(grace) => Some("the grace is over"),
                () = signals.stop() => {
                    told_again = true;
                    Some("told again")
                }
            };
            if let Some(why) = why {
                tracing::warn!(why, "calls under way are ended");
                phase.force();
                if timeout(KILLED_WAIT, &mut end).await.is_err() {
                    tracing::warn!(within = ?KILLED_WAIT, "some clients did not take their answers");
                }
            }
        }
        // Who is told to stop while it makes place stops.
        (pass_on && !told_again).then(|| take(&mut self.left))
    }

    /// For sockets that are ours alone: they are open, and say that the server ends, until no call runs any more.
    async fn drain(&mut self) {
        self.phase.drain();
        self.calls.ended().await;
        self.stop_taking.cancel();
        if let Ok(listeners) = (&mut self.taking).await {
            self.connections.take_last(&listeners).await;
            // Here they close: a client that comes now is refused, as by any server that is gone.
        }
        self.end_connections().await;
    }

    /// For sockets that somebody else takes connections from: nobody is sent away.
    async fn leave(&mut self) {
        self.phase.leave();
        if self.connections.count() > 0 {
            tokio::select! {
                () = sleep(IDLE_WAIT) => {}
                () = self.phase.forced() => {}
            }
        }
        self.stop_taking.cancel();
        // It never panics, and nobody aborts it.
        self.left = (&mut self.taking).await.unwrap_or_default();
        self.end_connections().await;
    }

    async fn end_connections(&self) {
        self.connections.end().await;
        // Calls whose clients hung up.
        self.calls.ended().await;
    }
}
