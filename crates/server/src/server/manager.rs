//! What a service manager is told that started us and listens (sd_notify(3)); without one nothing is said, and nothing
//! wakes up for it.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The part of the manager's patience after which it is told again that all is well.
const PATIENCE: u32 = 3;

/// The server takes calls.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The server reads its configuration again, or makes place for another program; `ready` ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "there is no clock"),
    }
}

/// The server ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the manager again and again that the server works, if it wants to be told: as often as `works` says so in time. A
/// server that does not is killed by the manager.
pub(super) async fn watch<W: Future<Output = bool> + Send + 'static>(works: impl Fn() -> W) {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
    else {
        return;
    };
    let every = (patience / PATIENCE).max(Duration::from_millis(1));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // On whatever thread is free, as calls are.
        match timeout(every, tokio::spawn(works())).await {
            Ok(Ok(true)) => tell(&[NotifyState::Watchdog]),
            _ => tracing::warn!(within = ?every, "the server does not answer itself"),
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how the server is");
    }
}
