//! Metrics: recorded in memory, sent to StatsD, shown to Prometheus and the admin API.
//!
//! Invariants: this part imports no other part of the server, so every part may have it; recording
//! costs some atomics and never waits for metrics to be sent; each event is recorded once, by the
//! part that causes it.

mod listing;
mod observers;
mod prometheus;
mod samples;
mod series;
mod snapshot;
mod statsd;
mod table;
mod target;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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

/// A handle on all metrics; clones share them.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

/// How long a text of all metrics is used again. To write one takes a hundred times as long as to
/// answer a request, and any client may ask for it.
const TEXT_AGE: Duration = Duration::from_millis(100);

struct Inner {
    numbers: Arc<Numbers>,
    text: Mutex<Option<(Instant, Arc<str>)>>,
    second: Second,
    statsd: OnceLock<Statsd>,
}

impl Default for Metrics {
    fn default() -> Self {
        let numbers = Arc::new(Numbers::new());
        let second = Second::new(&numbers);
        let (text, statsd) = (Mutex::default(), OnceLock::new());
        Self { inner: Arc::new(Inner { numbers, text, second, statsd }) }
    }
}

impl Metrics {
    /// Sends the metrics to a StatsD server: all counts and levels, and the timings from now on.
    /// Only the first call counts. The server need not answer, nor need its name have an address
    /// yet. Fails where no thread can be started.
    pub fn send_to(&self, target: Target) -> io::Result<()> {
        let statsd = Statsd::start(self.inner.numbers.clone(), target)?;
        // A second thread would send each count twice.
        let _ = self.inner.statsd.set(statsd);
        self.changed();
        Ok(())
    }

    /// Sends everything that was not sent yet, at the end of the server. Takes at most a second.
    pub fn finish(&self) {
        if let Some(statsd) = self.inner.statsd.get() {
            statsd.finish();
        }
    }

    /// Records a call that was admitted, or refused for want of room: its code (`ok` or that of a
    /// failure), the kind of principal that asked (a place in [`PRINCIPALS`]), and the time of each
    /// stage in order.
    pub fn call(&self, code: &str, principal: usize, stages: impl IntoIterator<Item = Duration>) {
        self.inner.numbers.count(Family::Calls, code_index(code));
        self.inner.numbers.count(Family::CallPrincipals, principal);
        for (index, span) in stages.into_iter().take(STAGES.len()).enumerate() {
            self.inner.numbers.time(Family::CallStages, index, span);
        }
        self.changed();
    }

    /// Records a request that did not become a call, by the code of its response and the kind of
    /// principal that asked.
    pub fn no_call(&self, code: &str, principal: usize) {
        self.inner.numbers.count(Family::CallPrincipals, principal);
        self.count(Family::Calls, code_index(code));
    }

    /// Records a call, or a request for one, for which nothing was run.
    pub fn refused(&self, why: Refused) {
        self.count(Family::Refusals, why as usize);
    }

    /// Records the response to a request of any kind: its status and the time until then.
    pub fn request(&self, status: u16, took: Duration) {
        self.inner.second.answered(&self.inner.numbers, status);
        self.time(Family::HttpRequest, 0, took);
    }

    /// Records a fetch, failed or not.
    pub fn fetched(&self, took: Duration) {
        self.time(Family::Fetch, 0, took);
    }

    /// Records a compilation, failed or not.
    pub fn built(&self, took: Duration) {
        self.time(Family::Build, 0, took);
    }

    /// Records a look-up in a cache, and whether it was a hit.
    pub fn looked_up(&self, cache: Cache, known: bool) {
        let family = if known { Family::CacheHits } else { Family::CacheMisses };
        self.count(family, cache as usize);
    }

    /// All metrics as of now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.inner.numbers, &self.inner.second)
    }

    /// All metrics as Prometheus reads them, of the type [`CONTENT_TYPE`], as of now.
    pub fn prometheus(&self) -> String {
        prometheus::text(&self.inner.numbers)
    }

    /// The same, at most [`TEXT_AGE`] old.
    pub fn recent_prometheus(&self) -> Arc<str> {
        let mut last = self.inner.text.lock();
        if let Some((written, text)) = last.as_ref()
            && written.elapsed() < TEXT_AGE
        {
            return text.clone();
        }
        let text: Arc<str> = self.prometheus().into();
        *last = Some((Instant::now(), text.clone()));
        text
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

/// The index of a code; an unknown code counts as the last one, `internal`.
fn code_index(code: &str) -> usize {
    CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1)
}

#[cfg(test)]
mod tests;
