//! What is worth remembering for a while: bounded in number and in age, so that nobody can make it grow.

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
    /// Room for `most` values, which count for `age`.
    pub fn new(most: usize, age: Duration) -> Self {
        Self { entries: Mutex::default(), most, age }
    }

    /// The value, if it is known and young enough.
    pub fn get(&self, key: &str) -> Option<V> {
        let entries = self.entries.lock();
        let (since, value) = entries.get(key)?;
        (since.elapsed() < self.age).then(|| value.clone())
    }

    /// Remembers a value from now on.
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

    /// Forgets a value.
    pub fn forget(&self, key: &str) {
        self.entries.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_value_is_known_until_it_is_too_old() {
        let remembered = TtlCache::new(10, MINUTE);
        remembered.put("a", 1);
        tokio::time::advance(MINUTE / 2).await;
        remembered.put("b", 2);
        assert_eq!((remembered.get("a"), remembered.get("b")), (Some(1), Some(2)));
        tokio::time::advance(MINUTE / 2).await;
        assert_eq!((remembered.get("a"), remembered.get("b")), (None, Some(2)));
        remembered.forget("b");
        assert_eq!(remembered.get("b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_goes_when_there_are_too_many() {
        let remembered = TtlCache::new(2, MINUTE);
        for key in ["a", "b", "a", "c"] {
            tokio::time::advance(Duration::from_secs(1)).await;
            remembered.put(key, ());
        }
        let known = ["a", "b", "c"].map(|key| remembered.get(key).is_some());
        assert_eq!(known, [true, false, true]);
        assert_eq!(remembered.entries.lock().len(), 2);
    }
}
