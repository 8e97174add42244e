//! Islands of functions made ahead of calls. All of them are within the same bounds: those of the calls that come.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::linux::protocol::ProcessBounds;

/// Islands made ahead, the oldest first.
pub(super) struct Prefork<T> {
    all: Mutex<PreforkBounds<T>>,
    /// How many there may be.
    most: usize,
}

struct PreforkBounds<T> {
    bounds: ProcessBounds,
    islands: VecDeque<T>,
}

impl<T> Prefork<T> {
    pub(super) fn new(bounds: ProcessBounds, most: usize) -> Self {
        Self { all: Mutex::new(PreforkBounds { bounds, islands: VecDeque::new() }), most }
    }

    /// The bounds of one more, unless there are enough.
    pub(super) fn wanted(&self) -> Option<ProcessBounds> {
        let all = self.all.lock();
        (all.islands.len() < self.most).then_some(all.bounds)
    }

    /// One more. It is given up when others are wanted meanwhile.
    pub(super) fn add(&self, bounds: ProcessBounds, island: T) {
        let mut all = self.all.lock();
        if all.bounds == bounds {
            all.islands.push_back(island);
        }
    }

    /// The oldest within these bounds. Those within others are given up: what functions may use has changed.
    pub(super) fn take(&self, bounds: ProcessBounds) -> Option<T> {
        let mut all = self.all.lock();
        let former = match all.bounds == bounds {
            true => VecDeque::new(),
            false => std::mem::take(&mut all.islands),
        };
        all.bounds = bounds;
        let oldest = all.islands.pop_front();
        drop(all);
        drop(former);
        oldest
    }

    /// The first that is asked for, out of its place.
    pub(super) fn remove(&self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let islands = &mut self.all.lock().islands;
        islands.iter().position(is_it).and_then(|found| islands.remove(found))
    }

    /// Something of each.
    pub(super) fn map<R>(&self, of: impl Fn(&T) -> R) -> Vec<R> {
        self.all.lock().islands.iter().map(of).collect()
    }

    pub(super) fn clear(&self) {
        let islands = std::mem::take(&mut self.all.lock().islands);
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
    fn the_oldest_comes_first_and_there_are_never_more_than_may_be() {
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
    fn with_other_bounds_the_former_islands_are_given_up() {
        let ahead = Prefork::new(bounds(1), 2);
        ahead.add(bounds(1), "former");
        assert_eq!(ahead.take(bounds(2)), None);
        assert_eq!(ahead.wanted(), Some(bounds(2)));
        ahead.add(bounds(1), "late");
        ahead.add(bounds(2), "new");
        assert_eq!(ahead.take(bounds(2)), Some("new"));
    }
}
