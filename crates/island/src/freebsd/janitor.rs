//! Gives back what was made in the operating system, again and again until the system says that it is gone.
//!
//! What must always hold: what was given to the janitor stays on its list until it is done; a chore that failed keeps
//! its progress; only so many are attempted at once; a failure is logged once, when it has lasted, and not each time.
//!
//! A chore goes on when the janitor is dropped; only the end of the runtime stops it, and then the next start finds
//! what is left by its name.

use std::fmt::Display;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::backend::BoxFuture;
use crate::freebsd::teardown::{StepFailed, TeardownStep};

/// Chores that are attempted at once; fewer than the commands that storage gives at once, so that new islands get theirs.
const AT_ONCE: usize = 8;
/// When chores are tried again, and when a failure is told of.
const PACE: CallRate = CallRate {
    first: Duration::from_millis(5),
    longest: Duration::from_secs(5),
    attempt: Duration::from_secs(120),
    told: Duration::from_secs(30),
};

/// Retries chores, each known by a name.
pub struct Janitor<N> {
    inner: Arc<Inner<N>>,
    runtime: Handle,
}

struct Inner<N> {
    pace: CallRate,
    turns: Semaphore,
    /// The names of all that is not done, each with a number of its own, in the order in which they came.
    names: Mutex<Vec<(u64, N)>>,
    /// How many are not done.
    left: watch::Sender<usize>,
    /// Counts the times that everybody was told to try at once.
    force: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug)]
struct CallRate {
    /// The wait after the first failure; each further one is twice as long.
    first: Duration,
    /// The longest wait.
    longest: Duration,
    /// How long one attempt may take.
    attempt: Duration,
    /// How long a chore fails before that is logged.
    told: Duration,
}

impl<N: Clone + Display + Send + Sync + 'static> Janitor<N> {
    /// One without chores, which works on the current tokio runtime.
    pub fn new() -> Self {
        Self::with(PACE, AT_ONCE)
    }

    fn with(pace: CallRate, at_once: usize) -> Self {
        let inner = Inner {
            pace,
            turns: Semaphore::new(at_once),
            names: Mutex::default(),
            left: watch::Sender::new(0),
            force: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner), runtime: Handle::current() }
    }

    /// Takes a chore over. Does not wait, and may be called from anywhere, also from a `drop`.
    pub fn give(&self, name: N, step: impl TeardownStep) {
        let number = self.inner.enter(name.clone());
        let inner = self.inner.clone();
        self.runtime.spawn(async move {
            inner.pursue(&name, Box::new(step)).await;
            inner.leave(number);
        });
    }

    /// The names of all that is not done, in the order in which they came.
    pub fn list(&self) -> Vec<N> {
        self.inner.names.lock().iter().map(|(_, name)| name.clone()).collect()
    }

    /// Resolves when everything is done.
    pub async fn idle(&self) {
        // The sender is ours, so it is there.
        let _ = self.inner.left.subscribe().wait_for(|left| *left == 0).await;
    }

    /// Has everything tried at once, and waits until all is done or the time is up. Answers what is not done; it is
    /// tried further.
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

    /// Attempts a chore until it is done.
    async fn pursue(&self, name: &N, mut step: Box<dyn TeardownStep>) {
        let mut force = self.force.subscribe();
        let mut patience = Patience::new(self.pace, Instant::now());
        loop {
            let failed = {
                let _turn = self.turns.acquire().await;
                self.attempt(&mut *step).await
            };
            let Err(failed) = failed else { break };
            if patience.runs_out(Instant::now()) {
                tracing::warn!(%name, %failed, "this cannot be given back yet; it is tried further");
            }
            tokio::select! {
                () = tokio::time::sleep(patience.wait()) => {}
                _ = force.changed() => patience.begin_again(),
            }
        }
        if patience.told {
            tracing::info!(%name, "this has been given back after all");
        }
    }

    async fn attempt(&self, step: &mut dyn TeardownStep) -> Result<(), StepFailed> {
        let limit = self.pace.attempt;
        match tokio::time::timeout(limit, caught(step.attempt())).await {
            Ok(result) => result,
            Err(_) => Err(StepFailed::new(format!("it did not end within {limit:?}"))),
        }
    }
}

/// Has a panic count as a failure, so that what is left of the chore is not lost.
async fn caught(mut attempt: BoxFuture<'_, Result<(), StepFailed>>) -> Result<(), StepFailed> {
    poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context)));
        polled.unwrap_or_else(|_| Poll::Ready(Err(StepFailed::new("it panicked"))))
    })
    .await
}

/// How long a chore waits, and whether its failure has been told of.
struct Patience {
    pace: CallRate,
    began: Instant,
    next: Duration,
    told: bool,
}

impl Patience {
    fn new(pace: CallRate, began: Instant) -> Self {
        Self { pace, began, next: pace.first, told: false }
    }

    /// The wait after one more failure.
    fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.pace.longest);
        wait
    }

    fn begin_again(&mut self) {
        self.next = self.pace.first;
    }

    /// Whether a failure at this time is the one to tell of.
    fn runs_out(&mut self, now: Instant) -> bool {
        let tell = !self.told && now.duration_since(self.began) >= self.pace.told;
        self.told |= tell;
        tell
    }
}

#[cfg(test)]
mod tests;
