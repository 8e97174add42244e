//! Queues that take turns: items wait in a queue for each key, and the keys are served in rotation.
//!
//! Invariants: a key is in the rotation exactly while its queue is not empty; items of one key keep
//! their order.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Items by key, served in rotation.
pub struct Turns<K, T> {
    queues: HashMap<K, VecDeque<T>>,
    /// The keys with items; the next one first.
    rotation: VecDeque<K>,
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Self { queues: HashMap::new(), rotation: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    /// Adds an item behind the others of its key.
    pub fn push(&mut self, key: K, item: T) {
        let queue = self.queues.entry(key.clone()).or_default();
        if queue.is_empty() {
            self.rotation.push_back(key);
        }
        queue.push_back(item);
    }

    /// Takes the first item of the next key, and puts that key at the end of the rotation.
    pub fn pop(&mut self) -> Option<T> {
        let key = self.rotation.pop_front()?;
        let queue = self.queues.get_mut(&key)?;
        let item = queue.pop_front()?;
        match queue.is_empty() {
            true => drop(self.queues.remove(&key)),
            false => self.rotation.push_back(key),
        }
        Some(item)
    }

    /// Removes the items of a key that `is_gone` names, and returns how many they were.
    pub fn remove(&mut self, key: &K, is_gone: impl Fn(&T) -> bool) -> usize {
        let Some(queue) = self.queues.get_mut(key) else { return 0 };
        let before = queue.len();
        queue.retain(|item| !is_gone(item));
        let removed = before - queue.len();
        if queue.is_empty() {
            self.queues.remove(key);
            self.rotation.retain(|other| other != key);
        }
        removed
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.rotation.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(turns: &mut Turns<&str, u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn keys_are_served_in_rotation_and_items_of_a_key_in_their_order() {
        let mut turns = Turns::default();
        for item in 0..5 {
            turns.push("greedy", item);
        }
        turns.push("one", 10);
        turns.push("other", 20);
        turns.push("one", 11);
        assert_eq!(all(&mut turns), [0, 10, 20, 1, 11, 2, 3, 4]);
        assert!(turns.is_empty() && turns.queues.is_empty());
    }

    #[test]
    fn items_that_are_gone_are_not_served() {
        let mut turns = Turns::default();
        turns.push("a", 1);
        turns.push("a", 2);
        turns.push("b", 3);
        turns.remove(&"a", |item| *item == 1);
        turns.remove(&"b", |_| true);
        turns.remove(&"c", |_| true);
        assert_eq!(all(&mut turns), [2]);
    }
}
