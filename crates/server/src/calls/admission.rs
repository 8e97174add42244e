//! Admission: how many calls are in the server at once, and how many functions run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::units::Span;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::calls::code::Code;
use crate::calls::failure::Failure;
use crate::calls::policy::Capacity;
use crate::calls::stage::Stage;

/// Admits calls, and hands out execution slots.
pub(super) struct Admission {
    capacity: Capacity,
    /// One permit for each call that may be in the server.
    calls: Arc<Semaphore>,
    /// One permit for each function that may run.
    slots: Arc<Semaphore>,
    /// Calls that wait for a slot.
    waiting: AtomicUsize,
}

/// The place of a call among `limits.calls`, until it is dropped.
pub(super) struct Admitted {
    _permit: OwnedSemaphorePermit,
}

/// Counts one waiting call, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The load of the server at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Calls in the server, including waiting calls.
    pub calls: usize,
    /// The limit of calls (`limits.calls`).
    pub most_calls: usize,
    /// Calls that wait for an execution slot.
    pub waiting: usize,
    /// Taken execution slots.
    pub running: usize,
    /// All execution slots (`limits.concurrency`).
    pub most_running: usize,
}

impl Admission {
    pub(super) fn new(capacity: Capacity) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        let (calls, slots) = (semaphore(capacity.calls), semaphore(capacity.running));
        Self { capacity, calls, slots, waiting: AtomicUsize::new(0) }
    }

    /// Admits a call, or refuses it at once.
    pub(super) fn admit(&self) -> Result<Admitted, Failure> {
        match self.calls.clone().try_acquire_owned() {
            Ok(permit) => Ok(Admitted { _permit: permit }),
            Err(_) => {
                let most = self.capacity.calls;
                let detail = format!(
                    "too many calls in flight (limits.calls = {most}); try again in a second"
                );
                Err(Failure::new(Code::Busy, Stage::Queue, detail))
            }
        }
    }

    /// An execution slot; a call waits at most this long for one.
    pub(super) async fn slot(&self, wait: Duration) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = self.slots.clone().try_acquire_owned() {
            return Ok(permit);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        // The semaphore is never closed.
        match timeout(wait, self.slots.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                let most = self.capacity.running;
                let detail = format!(
                    "no execution slot became free within {} (limits.queue_wait, limits.concurrency = {most}); try again later",
                    Span(wait)
                );
                Err(Failure::new(Code::Busy, Stage::Queue, detail))
            }
        }
    }

    /// The load now.
    pub(super) fn load(&self) -> Load {
        let Capacity { calls, running } = self.capacity;
        Load {
            calls: calls.saturating_sub(self.calls.available_permits()),
            most_calls: calls,
            waiting: self.waiting.load(Ordering::Relaxed),
            running: running.saturating_sub(self.slots.available_permits()),
            most_running: running,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn calls_and_slots_are_counted_and_bounded() {
        let admission = Admission::new(Capacity { calls: 2, running: 1 });
        let load = || {
            let load = admission.load();
            (load.calls, load.waiting, load.running)
        };
        let first = admission.admit().unwrap();
        let second = admission.admit().unwrap();
        let refused = admission.admit().err().unwrap();
        assert_eq!((refused.code, refused.stage), (Code::Busy, Stage::Queue));
        assert!(refused.detail.contains("limits.calls = 2"), "{refused:?}");
        drop(first);
        let slot = admission.slot(LONG).await.unwrap();
        assert_eq!(load(), (1, 0, 1));
        let (late, ()) = tokio::join!(admission.slot(LONG), async {
            tokio::task::yield_now().await;
            assert_eq!(load(), (1, 1, 1));
        });
        let late = late.unwrap_err();
        assert!(late.detail.contains("within 10 s"), "{late:?}");
        assert!(late.detail.contains("limits.concurrency = 1"), "{late:?}");
        drop((second, slot));
        assert_eq!(load(), (0, 0, 0));
    }
}
