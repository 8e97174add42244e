//! A server from its start to its end: what is started, what each signal does, and the order of the
//! end.
//!
//! Invariants: calls under way when the end begins have `shutdown_grace`; however they end,
//! everything that the server made is removed before [`serve`] returns; a client in the queue of a
//! socket that another process has, or will have, is not lost.

use std::pin::pin;

use super::admin_auth::AdminAuth;
use super::background::BackgroundTasks;
use super::error::StartupError;
use super::frontend::Frontend;
use super::manager;
use super::parts::Parts;
use super::reload::Reload;
use super::signals::{Action, Signals};
use super::successor::Successor;
use crate::config::Settings;
use crate::http::Admin;
use crate::listen::{self, HandOverSockets, Listener, PassedSockets, Tls};
use crate::log;
use crate::metrics::Target;

/// How a server ended.
#[derive(Debug)]
pub enum Ended {
    /// Everything that the server made is removed, and its sockets are closed.
    Stopped,
    /// Likewise, but the sockets are open, for the program that takes over.
    HandedOver(HandOverSockets),
}

/// Serves until a signal ends the server. Calls under way end then, and everything that the server
/// made is removed.
pub async fn serve(
    settings: Settings,
    successor: &Successor,
    mut signals: Signals,
) -> Result<Ended, StartupError> {
    let config = &settings.config().clone();
    let passed = PassedSockets::take()?;
    let tls = match &config.tls {
        Some(tls) => Some(Tls::load(&tls.cert, &tls.key)?),
        None => None,
    };
    let statsd: Option<Target> =
        config.jails.monitoring_addr.as_deref().map(str::parse).transpose()?;
    let mut parts = Parts::assemble(config).await?;
    let open = async {
        let admin_auth = AdminAuth::open(config, parts.state.path())?;
        Ok((admin_auth, listen::open(&config.endpoints(), tls.as_ref(), passed).await?))
    };
    let (admin_auth, listeners) = match open.await {
        Ok(opened) => opened,
        Err(error) => {
            parts.close().await;
            return Err(error);
        }
    };
    announce(&mut parts, &listeners);
    parts.log_findings();
    if let Some(target) = statsd {
        // A server without metrics is better than none.
        if let Err(error) = parts.metrics.send_to(target) {
            tracing::warn!(%error, "no metrics are sent to StatsD (jails.monitoring_addr): no thread can be started");
        }
    }
    let background = BackgroundTasks::start(&parts, config.go.warm);
    let reload = Reload::new(successor.inputs.clone(), settings, &parts, admin_auth.clone());
    let admin = Admin::new(admin_auth.access, reload.shown());
    let mut frontend = Frontend::open(config, &parts, admin, listeners);
    background.spawn(frontend.watchdog());
    manager::ready();
    let action = loop {
        match signals.next().await {
            Action::Reload => read_again(&reload, tls.as_ref()).await,
            Action::HandOver => {
                let proven = proven(successor, &mut signals, &reload, tls.as_ref()).await;
                if let Some(action) = proven {
                    break action;
                }
            }
            Action::Stop => break Action::Stop,
        }
    };
    let hand_over = action == Action::HandOver;
    if hand_over {
        manager::reloading()
    } else {
        manager::stopping()
    }
    frontend.announce_end(hand_over);
    tracing::info!(?action, "the server ends");
    parts.state.withdraw();
    let left = frontend.end(hand_over, reload.shutdown_grace(), &mut signals).await;
    background.end().await;
    let metrics = parts.metrics.clone();
    parts.close().await;
    metrics.finish();
    Ok(match left {
        Some(listeners) => {
            Ended::HandedOver(HandOverSockets::of(listeners).map_err(StartupError::HandOver)?)
        }
        None => Ended::Stopped,
    })
}

/// What a signal to hand over leads to: a hand-over if the successor could start, nothing if it
/// could not, and a stop if that was asked for meanwhile. The server serves on until then.
async fn proven(
    successor: &Successor,
    signals: &mut Signals,
    reload: &Reload,
    tls: Option<&Tls>,
) -> Option<Action> {
    let mut proof = pin!(successor.could_start());
    loop {
        let action = tokio::select! {
            proven = &mut proof => return proven.then_some(Action::HandOver),
            action = signals.next() => action,
        };
        match action {
            Action::Stop => return Some(Action::Stop),
            Action::Reload => read_again(reload, tls).await,
            // The proof is under way.
            Action::HandOver => {}
        }
    }
}

/// Writes where the server listens into the log, and into the state directory for other processes
/// that want it.
fn announce(parts: &mut Parts, listeners: &[Listener]) {
    let plain = listeners.iter().find(|listener| listener.plain_address().is_some());
    if let Some(listener) = plain.or(listeners.first()) {
        parts.state.announce(&listener.to_string());
    }
    for listener in listeners {
        tracing::info!(state = %parts.state.path().display(), "sky-island serves {listener}");
    }
}

/// Opens the log's file again, and reads the configuration and the certificate again. What fails
/// leaves the old in force.
async fn read_again(reload: &Reload, tls: Option<&Tls>) {
    manager::reloading();
    if let Err(error) = log::reopen() {
        let reason = common::causes::chain(&error);
        tracing::warn!(%reason, "the log goes on in the file that is open");
    }
    reload.read().await;
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
