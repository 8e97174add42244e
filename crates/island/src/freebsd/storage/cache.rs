//! Which artifacts there are, and which one is destroyed when there are too many.
//!
//! Invariants: an artifact in use is not chosen; no lookup finds an artifact that was chosen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use host::zfs::DatasetName;

use crate::freebsd::storage::key::Key;

/// A finished artifact. It is not destroyed while a reference to it lives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Artifact {
    pub(super) key: Key,
    pub(super) dataset: DatasetName,
}

/// The finished artifacts, and the remains of others.
#[derive(Default)]
pub(super) struct ArtifactCache {
    ready: HashMap<Key, CacheEntry>,
    remains: BTreeSet<Key>,
    /// Counts the uses. An artifact's last use is the count at that time.
    clock: u64,
}

struct CacheEntry {
    artifact: Arc<Artifact>,
    used: u64,
}

impl ArtifactCache {
    /// The artifact of a key; this is a use.
    pub(super) fn get(&mut self, key: &Key) -> Option<Arc<Artifact>> {
        self.clock += 1;
        let entry = self.ready.get_mut(key)?;
        entry.used = self.clock;
        Some(entry.artifact.clone())
    }

    /// Adds a finished artifact; this is a use.
    pub(super) fn put(&mut self, artifact: Arc<Artifact>) {
        self.clock += 1;
        self.remains.remove(&artifact.key);
        self.ready.insert(artifact.key.clone(), CacheEntry { artifact, used: self.clock });
    }

    /// Adds an artifact of an earlier start, which has not been used since.
    pub(super) fn adopt(&mut self, artifact: Arc<Artifact>) {
        self.ready.entry(artifact.key.clone()).or_insert(CacheEntry { artifact, used: 0 });
    }

    /// Notes that the remains of an artifact are to be destroyed.
    pub(super) fn leave(&mut self, key: Key) {
        self.ready.remove(&key);
        self.remains.insert(key);
    }

    /// Notes that nothing is left of an artifact.
    pub(super) fn forget(&mut self, key: &Key) {
        self.ready.remove(key);
        self.remains.remove(key);
    }

    /// The artifacts of which something is left to destroy.
    pub(super) fn remains(&self) -> Vec<Key> {
        self.remains.iter().cloned().collect()
    }

    /// Takes the least recently used artifact that is not in use, if there are more than `limit`.
    pub(super) fn take_surplus(&mut self, limit: usize) -> Option<Arc<Artifact>> {
        if self.ready.len() <= limit {
            return None;
        }
        let free = self.ready.iter().filter(|(_, entry)| Arc::strong_count(&entry.artifact) == 1);
        let key = free.min_by_key(|(_, entry)| entry.used)?.0.clone();
        self.ready.remove(&key).map(|entry| entry.artifact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn artifact(number: usize) -> Arc<Artifact> {
        let key = Key::parse(&format!("{number:064x}")).unwrap();
        let dataset = DatasetName::parse(&format!("z/{key}")).unwrap();
        Arc::new(Artifact { dataset, key })
    }

    #[test]
    fn artifacts_of_an_earlier_start_are_destroyed_first() {
        let mut cache = ArtifactCache::default();
        cache.put(artifact(1));
        cache.adopt(artifact(2));
        cache.adopt(artifact(1));
        assert_eq!(cache.take_surplus(1).unwrap(), artifact(2));
        assert_eq!(cache.take_surplus(1), None);
    }

    #[test]
    fn remains_are_listed_until_they_are_destroyed_or_made_whole() {
        let mut cache = ArtifactCache::default();
        cache.put(artifact(1));
        cache.leave(artifact(1).key.clone());
        assert_eq!(cache.get(&artifact(1).key), None);
        assert_eq!(cache.remains(), [artifact(1).key.clone()]);
        cache.put(artifact(1));
        assert!(cache.remains().is_empty());
        cache.leave(artifact(1).key.clone());
        cache.forget(&artifact(1).key);
        assert!(cache.remains().is_empty() && cache.get(&artifact(1).key).is_none());
    }

    proptest! {
        /// Against a list in the order of use.
        #[test]
        fn the_least_recently_used_artifact_that_is_not_in_use_is_destroyed_first(
            uses in proptest::collection::vec((0..12usize, any::<bool>()), 0..60),
            limit in 0..8usize,
        ) {
            let (mut cache, mut order, mut held) = (ArtifactCache::default(), Vec::new(), Vec::new());
            for (number, hold) in uses {
                let key = artifact(number).key.clone();
                let found = match cache.get(&key) {
                    Some(found) => found,
                    None => {
                        let made = artifact(number);
                        cache.put(made.clone());
                        made
                    }
                };
                order.retain(|other| *other != number);
                order.push(number);
                if hold {
                    held.push(found);
                }
            }
            let is_held = |number: usize| held.iter().any(|held| *held == artifact(number));
            let mut expected: Vec<_> = order.iter().copied().filter(|n| !is_held(*n)).collect();
            expected.truncate(order.len().saturating_sub(limit));
            let gone: Vec<_> = std::iter::from_fn(|| cache.take_surplus(limit)).collect();
            let expected: Vec<_> = expected.into_iter().map(artifact).collect();
            prop_assert_eq!(&gone, &expected);
            for artifact in gone {
                prop_assert_eq!(cache.get(&artifact.key), None);
            }
        }
    }
}
