//! What the server reports to the service manager that started it (sd_notify(3)). Without a service
//! manager nothing is reported, and nothing wakes up for it.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Reports within one timeout of the watchdog.
const REPORTS: u32 = 3;

/// Reports that the server takes calls.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Reports that the server reads its configuration again or hands over; [`ready`] ends that.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::warn!(%error, "the service manager gets no report of the reload: the clock cannot be read");
        }
    }
}

/// Reports that the server ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Reports again and again that the server works, where the service manager has a watchdog
/// (WatchdogSec=), for as long as `works` answers true in time. The manager kills a server that
/// stops reporting.
pub(super) async fn watchdog<W: Future<Output = bool> + Send + 'static>(works: impl Fn() -> W) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    let every = (limit / REPORTS).max(Duration::from_millis(1));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // As a task of its own it needs a free thread of the runtime, as calls do.
        match timeout(every, tokio::spawn(works())).await {
            Ok(Ok(true)) => notify(&[NotifyState::Watchdog]),
            _ => {
                tracing::warn!(within = ?every, "no report to the watchdog: the server does not answer itself in time")
            }
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager (NOTIFY_SOCKET) cannot be notified");
    }
}
