//! Folders of finished work on disk: found by a key, bounded in size, least recently used out first.
//!
//! What must always hold: an entry is written aside and renamed into place, so that a crash leaves the whole entry or
//! none; one that is in use is never deleted under its user, for it leaves the disk when the last [`Entry`] handle is
//! dropped; the index can be rebuilt from the folders alone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

mod trash;

pub use trash::{Scratch, Trash};

/// One kind of entries.
pub struct Store {
    folder: PathBuf,
    trash: Arc<Trash>,
    limit: u64,
    keep: Duration,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

/// A folder in a store. Whoever holds it may read it.
pub struct Entry {
    path: PathBuf,
    bytes: AtomicU64,
    /// Seconds since 1970 of the last use.
    used: AtomicU64,
    doomed: AtomicBool,
    trash: Arc<Trash>,
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
    /// Opens a store in `folder`, of at most `limit` bytes, whose entries go when they were not used for `keep`.
    pub fn open(
        folder: PathBuf,
        trash: Arc<Trash>,
        limit: u64,
        keep: Duration,
    ) -> Result<Self, StoreError> {
        let fail = |cause| StoreError { path: folder.clone(), cause };
        std::fs::create_dir_all(&folder).map_err(fail)?;
        let mut entries: HashMap<String, Arc<Entry>> = HashMap::new();
        for found in std::fs::read_dir(&folder).map_err(fail)? {
            let path = found.map_err(fail)?.path();
            let Some(key) = key_of(&path) else { continue };
            let entry = Arc::new(Entry {
                bytes: AtomicU64::new(0),
                used: AtomicU64::new(modified(&path)),
                doomed: AtomicBool::new(false),
                trash: trash.clone(),
                path,
            });
            // Two of one key are what a crash between a replacement and the deletion leaves; the newer one counts.
            let older = match entries.get(&key) {
                Some(other) if other.used() >= entry.used() => entry,
                _ => match entries.insert(key, entry) {
                    Some(other) => other,
                    None => continue,
                },
            };
            older.doom();
        }
        Ok(Self { folder, trash, limit, keep, entries: Mutex::new(entries) })
    }

    /// The entry of a key, which counts as used now.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        let entry = self.entries.lock().get(key)?.clone();
        entry.touch();
        Some(entry)
    }

    /// All entries and their keys.
    pub fn all(&self) -> Vec<(String, Arc<Entry>)> {
        self.entries.lock().iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    /// Moves a finished scratch folder into place. It replaces the entry of that key.
    pub fn publish(&self, key: &str, scratch: Scratch) -> Result<Arc<Entry>, StoreError> {
        let unique = uuid::Uuid::now_v7().simple();
        let path = self.folder.join(format!("{key}.{unique}"));
        scratch.keep_at(&path).map_err(|cause| StoreError { path: path.clone(), cause })?;
        let entry = Arc::new(Entry {
            bytes: AtomicU64::new(crate::disk::usage(&path, 0)),
            used: AtomicU64::new(now()),
            doomed: AtomicBool::new(false),
            trash: self.trash.clone(),
            path,
        });
        let old = self.entries.lock().insert(key.to_owned(), entry.clone());
        if let Some(old) = old {
            old.doom();
        }
        self.shrink();
        Ok(entry)
    }

    /// Whether there is an entry of a key; it does not count as used.
    pub fn has(&self, key: &str) -> bool {
        self.entries.lock().contains_key(key)
    }

    /// Lets go of an entry; its folder goes when nobody uses it any more.
    pub fn remove(&self, key: &str) {
        let entry = self.entries.lock().remove(key);
        if let Some(entry) = entry {
            entry.doom();
        }
    }

    /// Measures, and lets go of what is too old or too much. Answers the bytes that remain. Reads the disk.
    pub fn purge(&self) -> u64 {
        let all = self.all();
        for (_, entry) in &all {
            entry.bytes.store(crate::disk::usage(&entry.path, 0), Ordering::Relaxed);
            entry.remember_use();
        }
        self.shrink()
    }

    /// Lets go of what is too old or too much by the sizes that are known. Answers the bytes that remain.
    fn shrink(&self) -> u64 {
        let mut entries = self.entries.lock();
        let all: Vec<(String, Arc<Entry>)> =
            entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let sizes: Vec<(u64, u64)> = all
            .iter()
            .map(|(_, entry)| (entry.used(), entry.bytes.load(Ordering::Relaxed)))
            .collect();
        let (leave, remaining) = surplus(&sizes, now(), self.keep, self.limit);
        for index in leave {
            if let Some(entry) = entries.remove(&all[index].0) {
                entry.doom();
            }
        }
        remaining
    }
}

impl Entry {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        self.used.store(now(), Ordering::Relaxed);
    }

    /// Writes the time of the last use to disk, where the next start finds it.
    fn remember_use(&self) {
        let time = UNIX_EPOCH + Duration::from_secs(self.used());
        if let Ok(folder) = std::fs::File::open(&self.path) {
            // A time that is not written costs this entry its place in the order, no more.
            let _ = folder.set_modified(time);
        }
    }

    fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Relaxed) {
            self.trash.take(&self.path);
        }
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

fn key_of(path: &Path) -> Option<String> {
    let (key, unique) = path.file_name()?.to_str()?.rsplit_once('.')?;
    (unique.len() == 32).then(|| key.to_owned())
}

fn modified(path: &Path) -> u64 {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    modified.map_or(0, |time| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn open(root: &Path, limit: u64) -> Store {
        let trash = Arc::new(Trash::open(root).unwrap());
        Store::open(root.join("things"), trash, limit, Duration::from_secs(100)).unwrap()
    }

    fn publish(store: &Store, key: &str, text: &str) -> Arc<Entry> {
        let scratch = store.trash.scratch().unwrap();
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
        assert_eq!(fs::read_dir(root.path().join("things")).unwrap().count(), 0);
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
