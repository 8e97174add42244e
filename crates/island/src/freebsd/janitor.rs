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

use super::chore::{Chore, Failed};
use crate::backend::BoxFuture;

/// Chores that are attempted at once; fewer than the commands that storage gives at once, so that new islands get theirs.
const AT_ONCE: usize = 8;
/// When chores are tried again, and when a failure is told of.
const PACE: Pace = Pace {
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
    pace: Pace,
    turns: Semaphore,
    /// The names of all that is not done, each with a number of its own, in the order in which they came.
    names: Mutex<Vec<(u64, N)>>,
    /// How many are not done.
    left: watch::Sender<usize>,
    /// Counts the times that everybody was told to try at once.
    hurry: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
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

    fn with(pace: Pace, at_once: usize) -> Self {
        let inner = Inner {
            pace,
            turns: Semaphore::new(at_once),
            names: Mutex::default(),
            left: watch::Sender::new(0),
            hurry: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner), runtime: Handle::current() }
    }

    /// Takes a chore over. Does not wait, and may be called from anywhere, also from a `drop`.
    pub fn give(&self, name: N, chore: impl Chore) {
        let number = self.inner.enter(name.clone());
        let inner = self.inner.clone();
        self.runtime.spawn(async move {
            inner.pursue(&name, Box::new(chore)).await;
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
        self.inner.hurry.send_modify(|times| *times += 1);
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
    async fn pursue(&self, name: &N, mut chore: Box<dyn Chore>) {
        let mut hurry = self.hurry.subscribe();
        let mut patience = Patience::new(self.pace, Instant::now());
        loop {
            let failed = {
                let _turn = self.turns.acquire().await;
                self.attempt(&mut *chore).await
            };
            let Err(failed) = failed else { break };
            if patience.runs_out(Instant::now()) {
                tracing::warn!(%name, %failed, "this cannot be given back yet; it is tried further");
            }
            tokio::select! {
                () = tokio::time::sleep(patience.wait()) => {}
                _ = hurry.changed() => patience.begin_again(),
            }
        }
        if patience.told {
            tracing::info!(%name, "this has been given back after all");
        }
    }

    async fn attempt(&self, chore: &mut dyn Chore) -> Result<(), Failed> {
        let limit = self.pace.attempt;
        match tokio::time::timeout(limit, caught(chore.attempt())).await {
            Ok(result) => result,
            Err(_) => Err(Failed::new(format!("it did not end within {limit:?}"))),
        }
    }
}

/// Has a panic count as a failure, so that what is left of the chore is not lost.
async fn caught(mut attempt: BoxFuture<'_, Result<(), Failed>>) -> Result<(), Failed> {
    poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context)));
        polled.unwrap_or_else(|_| Poll::Ready(Err(Failed::new("it panicked"))))
    })
    .await
}

/// How long a chore waits, and whether its failure has been told of.
struct Patience {
    pace: Pace,
    began: Instant,
    next: Duration,
    told: bool,
}

impl Patience {
    fn new(pace: Pace, began: Instant) -> Self {
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
