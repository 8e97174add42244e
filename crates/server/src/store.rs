//! Folders of finished work on disk: found by a key, bounded in size, least recently used out first.
//!
//! What must always hold: an entry is written aside and renamed into place, so that a crash leaves the whole entry or
//! none; one that is in use is never deleted under its user, for it leaves the disk when the last [`Entry`] handle is
//! dropped; the index can be rebuilt from the folders alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

mod entry;
mod index;
mod trash;

use entry::now;
pub use entry::{Entry, Facts};
use index::Index;
pub use trash::{Scratch, Trash};

/// One kind of entries.
pub struct Store {
    index: Index,
    bounds: Mutex<Bounds>,
}

/// How much is kept, and for how long.
#[derive(Clone, Copy)]
struct Bounds {
    bytes: u64,
    keep: Duration,
}

/// A store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the cache at {path}")]
pub struct StoreError {
    path: PathBuf,
    #[source]
    cause: std::io::Error,
}

impl Store {
    /// Opens a store in `folder`, of at most `limit` bytes, whose entries go when they were not used for `keep`. What lies
    /// in it is read when it is asked for.
    pub fn open(
        folder: PathBuf,
        trash: Arc<Trash>,
        limit: u64,
        keep: Duration,
    ) -> Result<Self, StoreError> {
        let fail = |cause| StoreError { path: folder.clone(), cause };
        std::fs::create_dir_all(&folder).map_err(fail)?;
        std::fs::read_dir(&folder).map_err(fail)?;
        let index = Index::new(folder, trash);
        Ok(Self { index, bounds: Mutex::new(Bounds { bytes: limit, keep }) })
    }

    /// Has other bounds from now on; what they leave no room for goes with the next purge.
    pub fn set_bounds(&self, limit: u64, keep: Duration) {
        *self.bounds.lock() = Bounds { bytes: limit, keep };
    }

    /// The most bytes that are kept, and how long an unused entry is.
    #[cfg(test)]
    pub(crate) fn bounds(&self) -> (u64, Duration) {
        let Bounds { bytes, keep } = *self.bounds.lock();
        (bytes, keep)
    }

    /// The entry of a key, which counts as used now.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        let entry = self.index.around(key).get(key)?.clone();
        entry.touch();
        entry.hits.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    /// All entries and their keys.
    pub fn all(&self) -> Vec<(String, Arc<Entry>)> {
        self.index.all()
    }

    /// Moves a finished scratch folder into place. It replaces the entry of that key.
    pub fn publish(&self, key: &str, scratch: Scratch) -> Result<Arc<Entry>, StoreError> {
        // What comes into place now is not to be found a second time by the first look at its folder.
        drop(self.index.around(key));
        let fail = |cause| StoreError { path: key.into(), cause };
        let unique = uuid::Uuid::now_v7().simple();
        let path = self.index.folder(key).map_err(fail)?.join(format!("{key}.{unique}"));
        scratch.keep_at(&path).map_err(fail)?;
        let entry = Arc::new(Entry::new(path, self.index.trash().clone()));
        entry.touch();
        entry.measure();
        let old = self.index.around(key).insert(key.to_owned(), entry.clone());
        if let Some(old) = old {
            old.doom();
        }
        // What is too old waits for the next purge.
        if self.index.bytes() > self.bounds.lock().bytes {
            self.shrink();
        }
        Ok(entry)
    }

    /// Whether there is an entry of a key; it does not count as used.
    pub fn has(&self, key: &str) -> bool {
        self.index.around(key).contains_key(key)
    }

    /// Lets go of an entry; its folder goes when nobody uses it any more. Whether there was one.
    pub fn remove(&self, key: &str) -> bool {
        let entry = self.index.around(key).remove(key);
        entry.inspect(|entry| entry.doom()).is_some()
    }

    /// Measures, and lets go of what is too old or too much. Answers the bytes that remain. Reads the disk.
    pub fn purge(&self) -> u64 {
        for (_, entry) in &self.all() {
            entry.measure();
            entry.remember_use();
        }
        self.shrink()
    }

    /// Lets go of what is too old or too much by the sizes that are known. Answers the bytes that remain.
    fn shrink(&self) -> u64 {
        let all = self.all();
        let sizes: Vec<(u64, u64)> =
            all.iter().map(|(_, entry)| (entry.used(), entry.bytes())).collect();
        let Bounds { bytes, keep } = *self.bounds.lock();
        let (leave, remaining) = surplus(&sizes, now(), keep, bytes);
        for (key, entry) in leave.into_iter().map(|index| &all[index]) {
            let mut entries = self.index.around(key);
            // It may have been replaced meanwhile.
            if entries.get(key).is_some_and(|found| Arc::ptr_eq(found, entry)) {
                entries.remove(key);
                entry.doom();
            }
        }
        remaining
    }
}

/// Which of the entries (last use in seconds, bytes) to let go of, and the bytes that remain.
fn surplus(entries: &[(u64, u64)], now: u64, keep: Duration, limit: u64) -> (Vec<usize>, u64) {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|index| entries[*index].0);
    let mut total = entries.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
    let mut leave = Vec::new();
    for index in order {
        let (used, bytes) = entries[index];
        if now.saturating_sub(used) > keep.as_secs() || total > limit {
            total = total.saturating_sub(bytes);
            leave.push(index);
        }
    }
    (leave, total)
}

#[cfg(test)]
mod tests {
    use super::entry::modified;
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::time::UNIX_EPOCH;

    fn open(root: &Path, limit: u64) -> Store {
        let trash = Arc::new(Trash::open(root).unwrap());
        Store::open(root.join("things"), trash, limit, Duration::from_secs(100)).unwrap()
    }

    fn publish(store: &Store, key: &str, text: &str) -> Arc<Entry> {
        let scratch = store.index.trash().scratch().unwrap();
        fs::write(scratch.path().join("text"), text).unwrap();
        store.publish(key, scratch).unwrap()
    }

    #[test]
    fn an_entry_is_found_again_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        drop(publish(&open(root.path(), 1 << 20), "a", "one"));
        let store = open(root.path(), 1 << 20);
        let entry = store.get("a").unwrap();
        assert_eq!(fs::read_to_string(entry.path().join("text")).unwrap(), "one");
        assert!(store.get("b").is_none());
    }

    #[test]
    fn of_two_entries_of_one_key_that_a_crash_left_the_newer_one_counts() {
        let root = tempfile::tempdir().unwrap();
        let any = publish(&open(root.path(), 1 << 20), "a", "any");
        let place = any.path().parent().unwrap();
        fs::remove_dir_all(any.path()).unwrap();
        let folders = ["old", "new"].map(|text| {
            let entry = publish(&open(root.path(), 1 << 20), text, text);
            let unique = entry.path().extension().unwrap().to_str().unwrap();
            let folder = place.join(format!("a.{unique}"));
            fs::rename(entry.path(), &folder).unwrap();
            folder
        });
        let store = open(root.path(), 1 << 20);
        let entry = store.get("a").unwrap();
        assert_eq!(fs::read_to_string(entry.path().join("text")).unwrap(), "new");
        assert!(!folders[0].exists() && folders[1].exists());
    }

    #[test]
    fn the_time_of_the_last_use_survives_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let entry = publish(&open(root.path(), 1 << 20), "a", "one");
        let long_ago = UNIX_EPOCH + Duration::from_secs(now() - 90);
        fs::File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
        let store = open(root.path(), 1 << 20);
        store.purge();
        assert_eq!(store.all()[0].1.used(), now() - 90);
        store.get("a");
        store.purge();
        assert!(modified(entry.path()) >= now() - 1);
    }

    #[test]
    fn an_entry_is_told_of_by_its_size_its_age_and_how_often_it_was_found() {
        let root = tempfile::tempdir().unwrap();
        let begin = now();
        let entry = publish(&open(root.path(), 1 << 20), "a", "one");
        let store = open(root.path(), 1 << 20);
        let facts = store.all()[0].1.facts("a");
        assert!((begin..=now()).contains(&facts.made), "{facts:?}");
        assert!(facts.bytes > 0 && facts.hits == 0, "{facts:?}");
        store.get("a");
        store.get("a");
        assert_eq!(store.all()[0].1.facts("a").hits, 2);
        assert!(store.remove("a") && !store.remove("a"));
        drop(entry);
    }

    #[test]
    fn what_has_no_room_any_more_goes_with_the_next_purge() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 1 << 20);
        drop(publish(&store, "a", "one"));
        store.set_bounds(1, Duration::from_secs(100));
        assert_eq!((store.purge(), store.has("a")), (0, false));
    }

    #[test]
    fn what_was_not_used_for_too_long_goes() {
        let root = tempfile::tempdir().unwrap();
        let entry = publish(&open(root.path(), 1 << 20), "a", "one");
        let long_ago = UNIX_EPOCH + Duration::from_secs(now() - 200);
        fs::File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
        let store = open(root.path(), 1 << 20);
        store.purge();
        assert!(!store.has("a") && !entry.path().exists());
    }

    #[test]
    fn a_replaced_entry_stays_until_its_last_user_is_done() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 1 << 20);
        let old = publish(&store, "a", "old");
        publish(&store, "a", "new");
        assert_eq!(fs::read_to_string(old.path().join("text")).unwrap(), "old");
        let path = old.path().to_owned();
        drop(old);
        assert!(!path.exists());
        let new = store.get("a").unwrap();
        assert_eq!(fs::read_to_string(new.path().join("text")).unwrap(), "new");
    }

    #[test]
    fn a_purge_lets_go_of_what_exceeds_the_size() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 0);
        publish(&store, "a", "text");
        assert_eq!(store.purge(), 0);
        assert!(store.get("a").is_none());
        assert!(store.all().is_empty());
    }

    #[test]
    fn the_oldest_go_first_and_only_as_many_as_must() {
        let keep = Duration::from_secs(100);
        let table: [(&[(u64, u64)], u64, &[usize], u64); 4] = [
            (&[(1000, 5), (990, 5), (995, 5)], 10, &[1], 10),
            (&[(1000, 5), (990, 5), (995, 5)], 15, &[], 15),
            (&[(1000, 5), (800, 1)], 100, &[1], 5),
            (&[(1000, 50)], 10, &[0], 0),
        ];
        for (entries, limit, leave, remaining) in table {
            assert_eq!(surplus(entries, 1000, keep, limit), (leave.to_vec(), remaining));
        }
    }
}
