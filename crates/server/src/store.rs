//! Folders of finished work on disk: found by a key, bounded in size, least recently used out
//! first.
//!
//! Invariants: an entry is written in a scratch folder and renamed into place, so a crash leaves
//! the whole entry or none; after a power cut only entries are found whose bytes are on the disk,
//! because an entry gets its marker after it was flushed; the marker has the sum of the entry, by
//! which a later process knows damage; the index can be rebuilt from the folders alone.
//!
//! A publication does not wait for the disk: measuring, summing, flushing and making room follow on
//! a thread of their own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

mod entry;
mod flush;
mod index;
pub(crate) mod sum;
mod trash;
mod upkeep;

pub use entry::{Entry, Facts};
use entry::{Job, Shared, now};
use index::Index;
pub use trash::{Scratch, Trash};
use upkeep::Upkeep;

/// A file in a store's folder: seconds since 1970 from which on entries have markers.
const MARKED_SINCE: &str = "marked-since";
/// A store that exceeds its limit shrinks to this part of the limit, so that the next publications
/// find room.
const SHRINK_PERCENT: u64 = 90;

/// Entries of one kind.
pub struct Store {
    contents: Arc<Contents>,
}

/// The part of a store that its upkeep works on.
struct Contents {
    index: Index,
    bounds: Mutex<Bounds>,
    flush: fn(&Path, &[&Path]) -> std::io::Result<()>,
    /// How often all entries were looked at to make room.
    shrunk: AtomicU64,
}

/// How much is kept, and for how long.
#[derive(Clone, Copy)]
struct Bounds {
    bytes: u64,
    keep: Duration,
}

/// A store that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the cache at {path} cannot be read or written")]
pub struct StoreError {
    path: PathBuf,
    #[source]
    cause: std::io::Error,
}

impl Store {
    /// Opens a store in `folder` of at most `limit` bytes. An entry that was not used for `keep` is
    /// removed. Entries are read from the disk when they are looked up.
    pub fn open(
        folder: PathBuf,
        trash: Arc<Trash>,
        limit: u64,
        keep: Duration,
    ) -> Result<Self, StoreError> {
        Self::with(folder, trash, Bounds { bytes: limit, keep }, None, flush::flush)
    }

    /// [`Store::open`] for entries in which the part `growing` is written after their publication.
    pub fn open_growing(
        folder: PathBuf,
        trash: Arc<Trash>,
        limit: u64,
        keep: Duration,
        growing: &'static str,
    ) -> Result<Self, StoreError> {
        Self::with(folder, trash, Bounds { bytes: limit, keep }, Some(growing), flush::flush)
    }

    fn with(
        folder: PathBuf,
        trash: Arc<Trash>,
        bounds: Bounds,
        growing: Option<&'static str>,
        flush: fn(&Path, &[&Path]) -> std::io::Result<()>,
    ) -> Result<Self, StoreError> {
        let fail = |cause| StoreError { path: folder.clone(), cause };
        std::fs::create_dir_all(&folder).map_err(fail)?;
        let marked_since = marked_since(&folder).map_err(fail)?;
        let contents = Arc::new_cyclic(|contents: &Weak<Contents>| {
            let contents = contents.clone();
            let upkeep = Upkeep::new(move |jobs| {
                if let Some(contents) = contents.upgrade() {
                    contents.settle(&jobs);
                }
            });
            let total = AtomicU64::new(0);
            let shared = Shared { trash, total, marked_since, growing, upkeep };
            let index = Index::new(folder, Arc::new(shared));
            Contents { index, bounds: Mutex::new(bounds), flush, shrunk: AtomicU64::new(0) }
        });
        Ok(Self { contents })
    }

    /// Changes the bounds. Entries that have no room any more are removed by the next purge.
    pub fn set_bounds(&self, limit: u64, keep: Duration) {
        *self.contents.bounds.lock() = Bounds { bytes: limit, keep };
    }

    /// The most bytes that are kept, and how long an unused entry is.
    #[cfg(test)]
    pub(crate) fn bounds(&self) -> (u64, Duration) {
        let Bounds { bytes, keep } = *self.contents.bounds.lock();
        (bytes, keep)
    }

    /// The entry of a key, which counts as used now. Reads the disk the first time.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        let entry = self.contents.entry(key)?;
        used(&entry);
        Some(entry)
    }

    /// The entry of a key, which counts as used now, if it can be found without a look at the disk.
    pub fn get_in_memory(&self, key: &str) -> Option<Arc<Entry>> {
        let entry = self.contents.index.in_memory(key)?.get(key)?.clone();
        entry.is_known_complete().then(|| used(&entry))?;
        Some(entry)
    }

    /// All entries and their keys. Reads the disk the first time.
    pub fn all(&self) -> Vec<(String, Arc<Entry>)> {
        let mut all = self.contents.index.all();
        all.retain(|(key, entry)| self.contents.is_usable(key, entry));
        all
    }

    /// Moves a finished scratch folder into place, where it replaces the entry of that key. Writes
    /// to the disk.
    pub fn publish(&self, key: &str, scratch: Scratch) -> Result<Arc<Entry>, StoreError> {
        let index = &self.contents.index;
        // The part is read before the new entry comes into its folder, or the entry would be found
        // twice.
        drop(index.around(key));
        let fail = |cause| StoreError { path: index.root().join(key), cause };
        let unique = uuid::Uuid::now_v7().simple();
        let path = index.folder(key).map_err(fail)?.join(format!("{key}.{unique}"));
        scratch.keep_at(&path).map_err(fail)?;
        let entry = Arc::new(Entry::published(path, index.shared().clone()));
        let old = index.around(key).insert(key.to_owned(), entry.clone());
        if let Some(old) = old {
            old.remove();
        }
        index.shared().upkeep.add(Job::Published(entry.clone()));
        Ok(entry)
    }

    /// Whether there is an entry of a key; it does not count as used. Reads the disk the first
    /// time.
    pub fn has(&self, key: &str) -> bool {
        self.contents.entry(key).is_some()
    }

    /// Removes an entry; its folder is deleted when the last user drops it. Whether there was one.
    pub fn remove(&self, key: &str) -> bool {
        let entry = self.contents.index.around(key).remove(key);
        entry.inspect(|entry| entry.remove()).is_some()
    }

    /// Measures, and removes what is too old or too much. Returns the bytes that remain. Reads the
    /// disk.
    pub fn purge(&self) -> u64 {
        for (_, entry) in &self.all() {
            entry.measure();
            entry.write_use();
        }
        let limit = self.contents.bounds.lock().bytes;
        self.contents.shrink(limit)
    }

    /// Returns when all published entries are measured and flushed.
    pub fn settle(&self) {
        self.contents.index.shared().upkeep.settle();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Contents {
    fn entry(&self, key: &str) -> Option<Arc<Entry>> {
        let entry = self.index.around(key).get(key)?.clone();
        self.is_usable(key, &entry).then_some(entry)
    }

    /// Whether an entry is complete. Removes one that is not.
    fn is_usable(&self, key: &str, entry: &Arc<Entry>) -> bool {
        let usable = entry.is_complete();
        if !usable {
            tracing::info!(path = %entry.path().display(), "an incomplete cache entry is removed");
            self.remove(key, entry);
        }
        usable
    }

    /// Removes this entry, unless another one has replaced it.
    fn remove(&self, key: &str, entry: &Arc<Entry>) {
        let mut entries = self.index.around(key);
        if entries.get(key).is_some_and(|found| Arc::ptr_eq(found, entry)) {
            entries.remove(key);
            entry.remove();
        }
    }

    /// Does what publications left to do.
    fn settle(&self, jobs: &[Job]) {
        for job in jobs {
            if let Job::Published(entry) = job {
                entry.measure();
            }
        }
        let limit = self.bounds.lock().bytes;
        if self.index.shared().total.load(Ordering::Relaxed) > limit {
            self.shrink(limit / 100 * SHRINK_PERCENT);
        }
        let jobs: Vec<_> = jobs.iter().filter(|job| !job.entry().is_removed()).collect();
        if jobs.is_empty() {
            return;
        }
        if let Err(error) = self.mark(&jobs) {
            let path = self.index.root().display();
            tracing::warn!(%path, %error, "new cache entries cannot be flushed to disk; the next start removes them");
        }
    }

    /// Sums and flushes what was written, and then says in files that it is complete.
    fn mark(&self, jobs: &[&Job]) -> std::io::Result<()> {
        let marks: Vec<_> = jobs.iter().map(|job| job.mark()).collect();
        let mut folders: Vec<_> = jobs.iter().map(|job| job.entry().path()).collect();
        folders.dedup();
        (self.flush)(self.index.root(), &folders)?;
        let mut result = Ok(());
        for (job, mark) in jobs.iter().zip(marks) {
            let written = mark.and_then(|(file, sum)| std::fs::write(file, sum));
            // An entry may have been removed meanwhile.
            if !job.entry().is_removed() {
                result = result.and(written);
            }
        }
        result
    }

    /// Removes what is too old, and the least recently used entries that exceed `limit`, by the
    /// sizes that are known. Returns the bytes that remain.
    fn shrink(&self, limit: u64) -> u64 {
        self.shrunk.fetch_add(1, Ordering::Relaxed);
        let all = self.index.all();
        let sizes: Vec<(u64, u64)> =
            all.iter().map(|(_, entry)| (entry.used(), entry.bytes())).collect();
        let keep = self.bounds.lock().keep;
        let (leave, remaining) = surplus(&sizes, now(), keep, limit);
        for (key, entry) in leave.into_iter().map(|index| &all[index]) {
            self.remove(key, entry);
        }
        remaining
    }
}

fn used(entry: &Entry) {
    entry.touch();
    entry.hits.fetch_add(1, Ordering::Relaxed);
}

/// From when on a store's entries have markers: always in a new store, from now on in one of an
/// earlier version, whose entries have none.
fn marked_since(folder: &Path) -> std::io::Result<u64> {
    let file = folder.join(MARKED_SINCE);
    match std::fs::read_to_string(&file) {
        Ok(text) => return Ok(text.trim().parse().unwrap_or(0)),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let is_new = std::fs::read_dir(folder)?.next().is_none();
    let since = if is_new { 0 } else { now() };
    let aside = folder.join(format!("{MARKED_SINCE}.new"));
    std::fs::write(&aside, since.to_string())?;
    std::fs::File::open(&aside)?.sync_all()?;
    std::fs::rename(&aside, &file)?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(since)
}

/// Which of the entries (last use in seconds, bytes) to remove, and the bytes that remain.
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
mod tests;
