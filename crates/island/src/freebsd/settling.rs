//! First processes that have not changed their user yet, and how long each may still take.
//!
//! The launcher serves other islands meanwhile: it looks at one of these processes when there is
//! something to read on its socket, and ends the process when its time is up.
//!
//! Invariants: a process is listed once, from its fork until it answers, ends or runs out of time;
//! the processes are in the order of their deadlines.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a new process may take to enter its jail and change its user.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// The processes, each with what the launcher needs to go on with it.
pub(super) struct Settling<T> {
    waiting: VecDeque<Entry<T>>,
}

struct Entry<T> {
    /// The name of the island.
    id: String,
    /// The number of the socket that the process answers on.
    socket: usize,
    value: T,
    deadline: Instant,
}

impl<T> Settling<T> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new() }
    }

    /// Lists a process that has been forked now.
    pub(super) fn enter(&mut self, id: String, socket: usize, value: T, now: Instant) {
        self.waiting.push_back(Entry { id, socket, value, deadline: now + LIMIT });
    }

    /// Whether the island's process has not changed its user yet.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.waiting.iter().any(|entry| entry.id == id)
    }

    /// Takes the process that has something to read on this socket.
    pub(super) fn take(&mut self, socket: usize) -> Option<(String, T)> {
        let at = self.waiting.iter().position(|entry| entry.socket == socket)?;
        self.waiting.remove(at).map(|entry| (entry.id, entry.value))
    }

    /// Forgets the process of an island that has ended.
    pub(super) fn remove(&mut self, id: &str) {
        self.waiting.retain(|entry| entry.id != id);
    }

    /// Takes an island whose process has run out of time.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<String> {
        let late = self.waiting.front().is_some_and(|entry| entry.deadline <= now);
        late.then(|| self.waiting.pop_front().map(|entry| entry.id))?
    }

    /// How long until the next process runs out of time; none where no process is listed.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let next = self.waiting.front()?;
        Some(next.deadline.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn three(now: Instant) -> Settling<&'static str> {
        let mut settling = Settling::new();
        for (number, id) in [(7, "a"), (8, "b"), (9, "c")] {
            settling.enter(id.to_owned(), number, id, now + SECOND * (number as u32 - 7));
        }
        settling
    }

    #[test]
    fn a_slow_process_holds_up_no_other() {
        let now = Instant::now();
        let mut settling = three(now);
        assert_eq!(settling.take(9), Some(("c".to_owned(), "c")));
        assert_eq!(settling.take(8), Some(("b".to_owned(), "b")));
        assert!(settling.contains("a") && !settling.contains("b"));
        assert_eq!(settling.take(8), None);
    }

    #[test]
    fn each_process_runs_out_of_time_once_and_by_itself() {
        let now = Instant::now();
        let mut settling = three(now);
        assert_eq!(settling.wait(now), Some(LIMIT));
        assert_eq!(settling.take_late(now + LIMIT - SECOND), None);
        assert_eq!(settling.wait(now + LIMIT + SECOND), Some(Duration::ZERO));
        assert_eq!(settling.take_late(now + LIMIT + SECOND).as_deref(), Some("a"));
        assert_eq!(settling.take_late(now + LIMIT + SECOND).as_deref(), Some("b"));
        assert_eq!(settling.take_late(now + LIMIT + SECOND), None);
        assert_eq!(settling.wait(now + LIMIT + SECOND), Some(SECOND));
    }

    #[test]
    fn a_process_that_has_ended_is_not_waited_for() {
        let now = Instant::now();
        let mut settling = three(now);
        ["a", "b", "c"].iter().for_each(|id| settling.remove(id));
        assert_eq!(settling.wait(now), None);
        assert_eq!(settling.take_late(now + LIMIT * 2), None);
    }
}
