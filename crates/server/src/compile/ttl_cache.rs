//! A cache of values by key, bounded in number and in age, so that no client can make it grow.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Values by key. When there are too many the oldest goes.
pub(super) struct TtlCache<V> {
    entries: Mutex<HashMap<String, (Instant, V)>>,
    most: usize,
    age: Duration,
}

impl<V: Clone> TtlCache<V> {
    /// Room for `most` values, which expire after `age`.
    pub fn new(most: usize, age: Duration) -> Self {
        Self { entries: Mutex::default(), most, age }
    }

    /// The value of a key, unless it has expired.
    pub fn get(&self, key: &str) -> Option<V> {
        let entries = self.entries.lock();
        let (since, value) = entries.get(key)?;
        (since.elapsed() < self.age).then(|| value.clone())
    }

    /// Adds or replaces a value.
    pub fn put(&self, key: &str, value: V) {
        let mut entries = self.entries.lock();
        if entries.len() >= self.most && !entries.contains_key(key) {
            let oldest = entries.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.remove(&oldest);
            }
        }
        entries.insert(key.to_owned(), (Instant::now(), value));
    }

    /// Removes all values.
    pub fn forget_all(&self) {
        self.entries.lock().clear();
    }

    /// Removes a value.
    pub fn forget(&self, key: &str) {
        self.entries.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_value_is_kept_until_it_expires() {
        let cache = TtlCache::new(10, MINUTE);
        cache.put("a", 1);
        tokio::time::advance(MINUTE / 2).await;
        cache.put("b", 2);
        assert_eq!((cache.get("a"), cache.get("b")), (Some(1), Some(2)));
        tokio::time::advance(MINUTE / 2).await;
        assert_eq!((cache.get("a"), cache.get("b")), (None, Some(2)));
        cache.forget("b");
        assert_eq!(cache.get("b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_value_makes_room() {
        let cache = TtlCache::new(2, MINUTE);
        for key in ["a", "b", "a", "c"] {
            tokio::time::advance(Duration::from_secs(1)).await;
            cache.put(key, ());
        }
        let known = ["a", "b", "c"].map(|key| cache.get(key).is_some());
        assert_eq!(known, [true, false, true]);
        cache.forget_all();
        assert_eq!(["a", "c"].map(|key| cache.get(key)), [None; 2]);
        cache.put("a", ());
        cache.put("c", ());
        assert_eq!(cache.entries.lock().len(), 2);
    }
}
