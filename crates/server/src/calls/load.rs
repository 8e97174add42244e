//! How much there is to do: the calls in the server, those that wait for a turn, those that run; and the parts that
//! operators look at and change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host::net::Withdrawals;
use island::Islands;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::CallService;
use crate::compile::Builder;
use crate::source::Sources;

/// How many calls wait for a turn.
#[derive(Default)]
pub(super) struct Waiting(AtomicUsize);

/// One that waits, for as long as it lives.
struct One<'a>(&'a AtomicUsize);

impl Waiting {
    fn one(&self) -> One<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        One(&self.0)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How much there is to do at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Calls in the server, those that wait included.
    pub calls: usize,
    /// The most that it takes.
    pub most_calls: usize,
    /// Those that wait for a turn to run.
    pub waiting: usize,
    /// Turns that are taken.
    pub running: usize,
    /// All turns.
    pub most_running: usize,
}

impl CallService {
    /// How much there is to do now.
    pub fn load(&self) -> Load {
        let (calls, running) = (self.capacity.calls, self.capacity.running);
        Load {
            calls: calls.saturating_sub(self.admission.available_permits()),
            most_calls: calls,
            waiting: self.waiting.0.load(Ordering::Relaxed),
            running: running.saturating_sub(self.running.available_permits()),
            most_running: running,
        }
    }

    /// A turn to run; none when there was none for so long.
    pub(super) async fn turn(&self, wait: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Some(permit);
        }
        let _one = self.waiting.one();
        timeout(wait, self.running.clone().acquire_owned()).await.ok()?.ok()
    }

    /// The islands.
    pub fn islands(&self) -> &Islands {
        self.warm_pool.islands()
    }

    /// The addresses, and which of them are taken out.
    pub fn addresses(&self) -> &Withdrawals {
        &self.addresses
    }

    /// The checkouts.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// The artifacts.
    pub fn builder(&self) -> &Arc<Builder> {
        &self.builder
    }
}
