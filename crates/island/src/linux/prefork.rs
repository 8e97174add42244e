//! Islands of functions that are made ahead of calls. All of them have the same bounds, those of
//! the latest cqueue.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::linux::protocol::ProcessBounds;

/// Islands made ahead of calls, the oldest first.
pub(super) struct Prefork<T> {
    queue: Mutex<Queue<T>>,
    /// The most islands.
    most: usize,
}

struct Queue<T> {
    bounds: ProcessBounds,
    islands: VecDeque<T>,
}

impl<T> Prefork<T> {
    /// At most `most` islands, with these bounds at first.
    pub(super) fn new(bounds: ProcessBounds, most: usize) -> Self {
        Self { queue: Mutex::new(Queue { bounds, islands: VecDeque::new() }), most }
    }

    /// The bounds of one more island, unless there are enough.
    pub(super) fn wanted(&self) -> Option<ProcessBounds> {
        let queue = self.queue.lock();
        (queue.islands.len() < self.most).then_some(queue.bounds)
    }

    /// Adds an island. An island with other bounds than the latest call's is dropped.
    pub(super) fn add(&self, bounds: ProcessBounds, island: T) {
        let mut queue = self.queue.lock();
        if queue.bounds == bounds {
            queue.islands.push_back(island);
        }
    }

    /// Takes the oldest island with these bounds. Islands with other bounds are dropped: the limits
    /// of functions have changed.
    pub(super) fn take(&self, bounds: ProcessBounds) -> Option<T> {
        let mut queue = self.queue.lock();
        let former = match queue.bounds == bounds {
            true => VecDeque::new(),
            false => std::mem::take(&mut queue.islands),
        };
        queue.bounds = bounds;
        let oldest = queue.islands.pop_front();
        drop(queue);
        drop(former);
        oldest
    }

    /// Removes the first island that `is_it` accepts.
    pub(super) fn remove(&self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let islands = &mut self.queue.lock().islands;
        islands.iter().position(is_it).and_then(|found| islands.remove(found))
    }

    /// Maps each island.
    pub(super) fn map<R>(&self, of: impl Fn(&T) -> R) -> Vec<R> {
        self.queue.lock().islands.iter().map(of).collect()
    }

    /// Drops all islands.
    pub(super) fn clear(&self) {
        let islands = std::mem::take(&mut self.queue.lock().islands);
        drop(islands);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(memory: u64) -> ProcessBounds {
        ProcessBounds { memory, processes: 1, tmp: 1, files: 1, file_size: 1 }
    }

    #[test]
    fn the_oldest_comes_first_and_there_are_never_more_than_the_limit() {
        let ahead = Prefork::new(bounds(1), 2);
        for island in ["a", "b"] {
            ahead.add(ahead.wanted().unwrap(), island);
        }
        assert_eq!(ahead.wanted(), None);
        assert_eq!(ahead.map(|island| island.len()), [1, 1]);
        assert_eq!(ahead.take(bounds(1)), Some("a"));
        assert_eq!(ahead.wanted(), Some(bounds(1)));
        assert_eq!(ahead.remove(|island| *island == "a"), None);
        assert_eq!(ahead.remove(|island| *island == "b"), Some("b"));
    }

    #[test]
    fn islands_with_former_bounds_are_dropped() {
        let ahead = Prefork::new(bounds(1), 2);
        ahead.add(bounds(1), "former");
        assert_eq!(ahead.take(bounds(2)), None);
        assert_eq!(ahead.wanted(), Some(bounds(2)));
        ahead.add(bounds(1), "late");
        ahead.add(bounds(2), "new");
        assert_eq!(ahead.take(bounds(2)), Some("new"));
    }
}
