//! What happens, in numbers: recorded in memory where it happens, sent to StatsD, shown to Prometheus and the admin API.
//!
//! What must always hold: a leaf, which every part may be given; recording costs some atomics, and nothing waits for a
//! number to be sent; each event is recorded once, by whoever causes it.

mod listing;
mod observers;
mod prometheus;
mod series;
mod snapshot;
mod statsd;
mod table;
mod target;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use listing::listing;
pub use prometheus::CONTENT_TYPE;
pub use snapshot::{CacheCounts, Lookups, Snapshot, StageLatency};
pub use table::{
    CODES, Cache, DEFINITIONS, Definition, Kind, Label, PREFIX, PRINCIPALS, Refused, STAGES, Values,
};
pub use target::{BadTarget, Target};

use series::Numbers;
use snapshot::Second;
use statsd::Statsd;
use table::Family;

/// A handle on all numbers; clones share them.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    numbers: Arc<Numbers>,
    second: Second,
    statsd: OnceLock<Statsd>,
}

impl Default for Metrics {
    fn default() -> Self {
        let numbers = Arc::new(Numbers::new());
        let second = Second::new(&numbers);
        Self { inner: Arc::new(Inner { numbers, second, statsd: OnceLock::new() }) }
    }
}

impl Metrics {
    /// Has the numbers sent to a StatsD server from now on, the ones before included. Only the first server counts. It need
    /// not be there, nor need its name be known yet. The error is that of starting a thread.
    pub fn send_to(&self, target: Target) -> io::Result<()> {
        let statsd = Statsd::start(self.inner.numbers.clone(), target)?;
        // A second one would have each number counted twice.
        let _ = self.inner.statsd.set(statsd);
        self.changed();
        Ok(())
    }

    /// Sends what was not sent yet, for the end of the server; takes at most a second.
    pub fn finish(&self) {
        if let Some(statsd) = self.inner.statsd.get() {
            statsd.finish();
        }
    }

    /// A call that was admitted or refused for want of room: its code (`ok` or that of a failure), which kind of principal
    /// asked (a place in [`PRINCIPALS`]), and how long each stage took, in order.
    pub fn call(&self, code: &str, principal: usize, stages: impl IntoIterator<Item = Duration>) {
        self.inner.numbers.count(Family::Calls, code_index(code));
        self.inner.numbers.count(Family::CallPrincipals, principal);
        for (index, span) in stages.into_iter().take(STAGES.len()).enumerate() {
            self.inner.numbers.time(Family::CallStages, index, span);
        }
        self.changed();
    }

    /// A request that did not become a call, by the code of its answer and the kind of principal that asked.
    pub fn no_call(&self, code: &str, principal: usize) {
        self.inner.numbers.count(Family::CallPrincipals, principal);
        self.count(Family::Calls, code_index(code));
    }

    /// A call, or a request for one, for which nothing was run.
    pub fn refused(&self, why: Refused) {
        self.count(Family::Refusals, why as usize);
    }

    /// A request of any kind was answered with this status, after this time.
    pub fn request(&self, status: u16, took: Duration) {
        self.inner.second.answered(&self.inner.numbers, status);
        self.time(Family::HttpRequest, 0, took);
    }

    /// A fetch has ended, whatever came of it.
    pub fn fetched(&self, took: Duration) {
        self.time(Family::Fetch, 0, took);
    }

    /// A compilation has ended, whatever came of it.
    pub fn built(&self, took: Duration) {
        self.time(Family::Build, 0, took);
    }

    /// Something was looked up, and was known already or not.
    pub fn looked_up(&self, cache: Cache, known: bool) {
        let family = if known { Family::CacheHits } else { Family::CacheMisses };
        self.count(family, cache as usize);
    }

    /// All that was counted.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.inner.numbers, &self.inner.second)
    }

    /// All numbers as Prometheus reads them, of the type [`CONTENT_TYPE`].
    pub fn prometheus(&self) -> String {
        prometheus::text(&self.inner.numbers)
    }

    fn count(&self, family: Family, index: usize) {
        self.inner.numbers.count(family, index);
        self.changed();
    }

    fn time(&self, family: Family, index: usize, span: Duration) {
        self.inner.numbers.time(family, index, span);
        self.changed();
    }

    fn changed(&self) {
        if let Some(statsd) = self.inner.statsd.get() {
            statsd.wake();
        }
    }
}

/// The place of a code; what is none counts as the last, a failure of ours.
fn code_index(code: &str) -> usize {
    CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1)
}

#[cfg(test)]
mod tests;
