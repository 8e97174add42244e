//! Tears down what was made in the operating system, with retries until the system confirms it.
//!
//! Invariants: a teardown stays on the list until it is done; a teardown that failed keeps its
//! progress; a bounded number is attempted at once; a failure that lasts is logged once.
//!
//! A teardown goes on when the janitor is dropped. Only the end of the runtime stops it, and then
//! the next start finds the rest by its name.

use std::fmt::Display;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use common::causes::chain;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::backend::BoxFuture;
use crate::freebsd::teardown::{StepFailed, TeardownStep};

/// Teardowns that are attempted at once: fewer than the commands that storage gives at once, so
/// that new islands get their turns.
const AT_ONCE: usize = 8;
/// When a teardown is attempted again, and when its failure is logged.
const SCHEDULE: RetrySchedule = RetrySchedule {
    first: Duration::from_millis(5),
    longest: Duration::from_secs(5),
    attempt: Duration::from_secs(120),
    logged: Duration::from_secs(30),
};

/// Retries teardowns, each known by a name.
pub struct Janitor<N> {
    inner: Arc<Inner<N>>,
    runtime: Handle,
}

struct Inner<N> {
    schedule: RetrySchedule,
    turns: Semaphore,
    /// The names of the teardowns that are not done, each with a unique number, in the order of
    /// their arrival.
    names: Mutex<Vec<(u64, N)>>,
    /// How many teardowns are not done.
    left: watch::Sender<usize>,
    /// Counts the requests to attempt all teardowns at once.
    force: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug)]
struct RetrySchedule {
    /// The wait after the first failure; each further one is twice as long.
    first: Duration,
    /// The longest wait.
    longest: Duration,
    /// How long one attempt may take.
    attempt: Duration,
    /// How long a teardown fails before that is logged.
    logged: Duration,
}

impl<N: Clone + Display + Send + Sync + 'static> Janitor<N> {
    /// A janitor on the current tokio runtime.
    pub fn new() -> Self {
        Self::with(SCHEDULE, AT_ONCE)
    }

    fn with(schedule: RetrySchedule, at_once: usize) -> Self {
        let inner = Inner {
            schedule,
            turns: Semaphore::new(at_once),
            names: Mutex::default(),
            left: watch::Sender::new(0),
            force: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner), runtime: Handle::current() }
    }

    /// Takes over a teardown. Does not wait, and may be called from a `drop`.
    pub fn give(&self, name: N, step: impl TeardownStep) {
        let number = self.inner.enter(name.clone());
        let inner = self.inner.clone();
        self.runtime.spawn(async move {
            inner.pursue(&name, Box::new(step)).await;
            inner.leave(number);
        });
    }

    /// The names of the teardowns that are not done, in the order of their arrival.
    pub fn list(&self) -> Vec<N> {
        self.inner.names.lock().iter().map(|(_, name)| name.clone()).collect()
    }

    /// Resolves when all teardowns are done.
    pub async fn idle(&self) {
        // The sender lives as long as `self`, so this is no error.
        let _ = self.inner.left.subscribe().wait_for(|left| *left == 0).await;
    }

    /// Attempts all teardowns at once, and waits until all are done or the time is up. Returns the
    /// names of the others, which the janitor attempts further.
    pub async fn drain(&self, limit: Duration) -> Vec<N> {
        self.inner.force.send_modify(|times| *times += 1);
        let _ = tokio::time::timeout(limit, self.idle()).await;
        self.list()
    }
}

impl<N: Clone + Display + Send + Sync + 'static> Default for Janitor<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Display> Inner<N> {
    fn enter(&self, name: N) -> u64 {
        let mut names = self.names.lock();
        let number = names.last().map_or(0, |(number, _)| number + 1);
        names.push((number, name));
        self.left.send_replace(names.len());
        number
    }

    fn leave(&self, number: u64) {
        let mut names = self.names.lock();
        names.retain(|(other, _)| *other != number);
        self.left.send_replace(names.len());
    }

    /// Attempts a teardown until it is done.
    async fn pursue(&self, name: &N, mut step: Box<dyn TeardownStep>) {
        let mut force = self.force.subscribe();
        let mut patience = Patience::new(self.schedule, Instant::now());
        loop {
            let failed = {
                let _turn = self.turns.acquire().await;
                self.attempt(&mut *step).await
            };
            let Err(failed) = failed else { break };
            if patience.runs_out(Instant::now()) {
                let error = chain(&failed);
                tracing::warn!(%name, %error, "the island cannot be removed yet; the janitor tries again");
            }
            tokio::select! {
                () = tokio::time::sleep(patience.wait()) => {}
                _ = force.changed() => patience.begin_again(),
            }
        }
        if patience.logged {
            tracing::info!(%name, "the island has been removed after all");
        }
    }

    async fn attempt(&self, step: &mut dyn TeardownStep) -> Result<(), StepFailed> {
        let limit = self.schedule.attempt;
        match tokio::time::timeout(limit, caught(step.attempt())).await {
            Ok(result) => result,
            Err(_) => Err(StepFailed::Late(limit)),
        }
    }
}

/// Makes a panic a failure, so that the rest of the teardown is not lost.
async fn caught(mut attempt: BoxFuture<'_, Result<(), StepFailed>>) -> Result<(), StepFailed> {
    poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context)));
        polled.unwrap_or(Poll::Ready(Err(StepFailed::Panicked)))
    })
    .await
}

/// How long a teardown waits, and whether its failure has been logged.
struct Patience {
    schedule: RetrySchedule,
    began: Instant,
    next: Duration,
    logged: bool,
}

impl Patience {
    fn new(schedule: RetrySchedule, began: Instant) -> Self {
        Self { schedule, began, next: schedule.first, logged: false }
    }

    /// The wait after one more failure.
    fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.schedule.longest);
        wait
    }

    fn begin_again(&mut self) {
        self.next = self.schedule.first;
    }

    /// Whether a failure at this time is the one to log.
    fn runs_out(&mut self, now: Instant) -> bool {
        let log = !self.logged && now.duration_since(self.began) >= self.schedule.logged;
        self.logged |= log;
        log
    }
}

#[cfg(test)]
mod tests;
