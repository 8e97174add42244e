//! Single flight: work for a key that many ask for at once is done once, and goes on when the
//! callers have left.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// The work under way, by key.
pub struct SingleFlight<K, T> {
    running: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
}

/// The work panicked.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the shared work panicked")]
pub struct Lost;

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

impl<K, T> SingleFlight<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The result of the work under way for `key`, which `work` starts when there is none.
    pub async fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<T, Lost>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut result = {
            let mut running = self.running.lock();
            match running.get(&key) {
                Some(receiver) => receiver.clone(),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    running.insert(key.clone(), receiver.clone());
                    self.start(key, sender, work());
                    receiver
                }
            }
        };
        let wait = result.wait_for(Option::is_some).await.map_err(|_| Lost)?;
        wait.clone().ok_or(Lost)
    }

    /// Resolves when no work is under way for `key`, at once where there is none.
    pub async fn wait(&self, key: &K) {
        let running = self.running.lock().get(key).cloned();
        if let Some(mut result) = running {
            // Work that panicked has ended too.
            let _ = result.wait_for(Option::is_some).await;
        }
    }

    fn start<F>(&self, key: K, sender: watch::Sender<Option<T>>, work: F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let removal = RemoveWhenDone { running: self.running.clone(), key };
        tokio::spawn(async move {
            let result = work.await;
            // Later callers start new work; the present ones get this result.
            drop(removal);
            sender.send_replace(Some(result));
        });
    }
}

/// Removes the key when the work ends, also by a panic.
struct RemoveWhenDone<K: Eq + Hash, T> {
    running: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for RemoveWhenDone<K, T> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn a_hundred_callers_at_once_cause_one_piece_of_work() {
        let single_flight = Arc::new(SingleFlight::<&str, u32>::default());
        let count = Arc::new(AtomicU32::new(0));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (single_flight, count) = (single_flight.clone(), count.clone());
            all.spawn(async move {
                let work = || async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    count.fetch_add(1, Ordering::Relaxed) + 1
                };
                single_flight.join("key", work).await.unwrap()
            });
        }
        assert!(all.join_all().await.iter().all(|result| *result == 1));
    }

    #[tokio::test]
    async fn the_work_goes_on_when_its_starter_leaves() {
        let single_flight = SingleFlight::<&str, u32>::default();
        let leaver = single_flight.join("key", || async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            7
        });
        assert!(tokio::time::timeout(Duration::from_millis(5), leaver).await.is_err());
        assert_eq!(single_flight.join("key", || async { 8 }).await.unwrap(), 7);
        assert_eq!(single_flight.join("key", || async { 9 }).await.unwrap(), 9);
    }

    #[tokio::test]
    async fn a_caller_that_waits_sees_the_work_done() {
        let single_flight = SingleFlight::<&str, u32>::default();
        single_flight.wait(&"key").await;
        let done = Arc::new(AtomicU32::new(0));
        let work = || {
            let done = done.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                done.fetch_add(1, Ordering::Relaxed)
            }
        };
        let leaver =
            tokio::time::timeout(Duration::from_millis(1), single_flight.join("key", work));
        assert!(leaver.await.is_err());
        single_flight.wait(&"key").await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_does_not_block_the_key() {
        let single_flight = SingleFlight::<&str, u32>::default();
        assert!(single_flight.join("key", || async { panic!("on purpose") }).await.is_err());
        assert_eq!(single_flight.join("key", || async { 1 }).await.unwrap(), 1);
    }
}
