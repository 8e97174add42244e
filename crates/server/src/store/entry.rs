//! One entry of a store: a folder, its size, and when and how often it was used.
//!
//! Invariants: a removed entry leaves the disk with its last handle, and not before; the sizes of
//! all entries that were measured and not removed add up to the store's total; an entry has its
//! marker only if the rest of it is on the disk; the marker has the sum of the rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::store::sum;
use crate::store::trash::Trash;
use crate::store::upkeep::Upkeep;

/// A file in an entry with the sum of the others, written after the entry was flushed. An entry
/// without it may have been cut short by a power cut. Earlier versions wrote an empty file.
pub(super) const MARKER: &str = "complete";

/// The size of an entry that is too large to measure: over any limit, and small enough to add up.
const MOST_BYTES: u64 = 1 << 50;

/// Whether an entry is complete: known, or to be read from the disk.
const UNKNOWN: u8 = 0;
const COMPLETE: u8 = 1;
const INCOMPLETE: u8 = 2;

/// A folder in a store. Its contents stay on disk as long as there is a handle.
pub struct Entry {
    pub(super) path: PathBuf,
    size: Mutex<Size>,
    state: AtomicU8,
    /// The files are known to be as they were published.
    intact: AtomicBool,
    /// The stamp of the files when they were known to be intact, once somebody asked for it.
    stamp: Mutex<Option<u64>>,
    /// Seconds since 1970 of the last use; 0 until it is read from the folder.
    used: AtomicU64,
    /// The time of the last use that the folder has.
    written: AtomicU64,
    /// Look-ups that found the entry since this start.
    pub(super) hits: AtomicU64,
    shared: Arc<Shared>,
}

/// What all entries of a store share.
pub(super) struct Shared {
    pub(super) trash: Arc<Trash>,
    /// Bytes of all entries that were measured.
    pub(super) total: AtomicU64,
    /// Seconds since 1970 from which on entries have markers. Those of earlier versions have none.
    pub(super) marked_since: u64,
    /// The name of the part of each entry that is written after the entry was published.
    pub(super) growing: Option<&'static str>,
    pub(super) upkeep: Upkeep<Job>,
}

impl Shared {
    /// The names in an entry that its sum leaves out.
    fn without(&self) -> Vec<&'static str> {
        std::iter::once(MARKER).chain(self.growing).collect()
    }
}

/// What is done for an entry behind the answer.
pub(super) enum Job {
    /// Measure and flush an entry that was published.
    Published(Arc<Entry>),
    /// Write the sum of a folder of an entry into a file once the entry is flushed.
    Mark { entry: Arc<Entry>, folder: PathBuf, file: PathBuf },
}

impl Job {
    pub(super) fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Published(entry) | Self::Mark { entry, .. } => entry,
        }
    }

    /// The file that is written, and the sum that comes into it. Reads every file.
    pub(super) fn mark(&self) -> std::io::Result<(PathBuf, String)> {
        match self {
            Self::Published(entry) => {
                Ok((entry.marker(), sum::of(&entry.path, &entry.shared.without())?))
            }
            Self::Mark { folder, file, .. } => Ok((file.clone(), sum::of(folder, &[])?)),
        }
    }
}

#[derive(Default)]
struct Size {
    bytes: u64,
    removed: bool,
}

/// What operators see of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The entry's key.
    pub key: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Seconds since 1970 when the entry was made.
    pub made: u64,
    /// Seconds since 1970 when the entry was used last.
    pub used: u64,
    /// Look-ups that found the entry since this start.
    pub hits: u64,
}

impl Entry {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the sum of a folder of the entry into a file of the entry after everything that the
    /// entry holds now is on the disk. Does not wait.
    pub fn mark_when_flushed(self: &Arc<Self>, folder: PathBuf, file: PathBuf) {
        self.shared.upkeep.add(Job::Mark { entry: self.clone(), folder, file });
    }

    /// Whether the files are as they were published. Reads all of them, unless this process has
    /// published them or read them before. Fails where no file can be read just now.
    pub fn is_intact(&self) -> std::io::Result<bool> {
        if self.intact.load(Ordering::Acquire) {
            return Ok(true);
        }
        let intact = sum::is_intact(&self.path, &self.shared.without(), &self.marker())?;
        self.intact.store(intact, Ordering::Release);
        Ok(intact)
    }

    /// Has the next [`Entry::is_intact`] read the files again.
    pub fn doubt(&self) {
        self.intact.store(false, Ordering::Release);
    }

    /// Whether no file was written since the first time that this was asked. Reads no file.
    pub fn is_untouched(&self) -> std::io::Result<bool> {
        let stamp = sum::stamp(&self.path, &self.shared.without())?;
        Ok(*self.stamp.lock().get_or_insert(stamp) == stamp)
    }

    /// An entry that was found on the disk.
    pub(super) fn found(path: PathBuf, shared: Arc<Shared>) -> Self {
        Self::new(path, shared, UNKNOWN)
    }

    /// An entry that this process has written.
    pub(super) fn published(path: PathBuf, shared: Arc<Shared>) -> Self {
        let entry = Self::new(path, shared, COMPLETE);
        entry.intact.store(true, Ordering::Relaxed);
        entry.touch();
        entry
    }

    fn new(path: PathBuf, shared: Arc<Shared>, state: u8) -> Self {
        let (size, intact, stamp, used, written, hits) = Default::default();
        let state = AtomicU8::new(state);
        Self { path, size, state, intact, stamp, used, written, hits, shared }
    }

    /// Whether the entry is complete, where that is known without a look at the disk.
    pub(super) fn is_known_complete(&self) -> bool {
        self.state.load(Ordering::Relaxed) == COMPLETE
    }

    /// Whether the entry is complete. Reads the disk the first time.
    pub(super) fn is_complete(&self) -> bool {
        if self.state.load(Ordering::Relaxed) == UNKNOWN {
            let earlier = made(&self.path).is_some_and(|made| made < self.shared.marked_since);
            let complete = earlier || self.path.join(MARKER).exists();
            self.state.store(if complete { COMPLETE } else { INCOMPLETE }, Ordering::Relaxed);
        }
        self.is_known_complete()
    }

    pub(super) fn marker(&self) -> PathBuf {
        self.path.join(MARKER)
    }

    /// What operators see. Reads the disk where the size is not known yet.
    pub fn facts(&self, key: &str) -> Facts {
        if self.bytes() == 0 {
            self.measure();
        }
        Facts {
            key: key.to_owned(),
            bytes: self.bytes(),
            made: made(&self.path).unwrap_or(0),
            used: self.used(),
            hits: self.hits.load(Ordering::Relaxed),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.size.lock().bytes
    }

    /// Reads the size from the disk.
    pub(super) fn measure(&self) {
        self.set_size(common::disk::usage(&self.path, 0), false);
    }

    fn set_size(&self, bytes: u64, removed: bool) {
        let mut size = self.size.lock();
        if !size.removed {
            let bytes = bytes.min(MOST_BYTES);
            self.shared.total.fetch_add(bytes.wrapping_sub(size.bytes), Ordering::Relaxed);
            *size = Size { bytes, removed };
        }
    }

    pub(super) fn used(&self) -> u64 {
        match self.used.load(Ordering::Relaxed) {
            0 => {
                let found = modified(&self.path);
                self.written.store(found, Ordering::Relaxed);
                // Another thread may use the entry just now.
                let known =
                    self.used.compare_exchange(0, found, Ordering::Relaxed, Ordering::Relaxed);
                known.err().unwrap_or(found)
            }
            used => used,
        }
    }

    pub(super) fn touch(&self) {
        self.used.store(now(), Ordering::Relaxed);
    }

    /// Writes the time of the last use to disk, where the next start finds it.
    pub(super) fn write_use(&self) {
        let used = self.used();
        if self.written.swap(used, Ordering::Relaxed) == used {
            return;
        }
        let time = UNIX_EPOCH + Duration::from_secs(used);
        if let Ok(folder) = std::fs::File::open(&self.path) {
            // A time that is not written costs this entry its place in the order, no more.
            let _ = folder.set_modified(time);
        }
    }

    /// Has the folder removed with the last handle. The caller takes the entry out of the index.
    pub(super) fn remove(&self) {
        self.set_size(0, true);
    }

    pub(super) fn is_removed(&self) -> bool {
        self.size.lock().removed
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.size.get_mut().removed {
            self.shared.trash.take_later(&self.path);
        }
    }
}

/// When a folder was named, which is in what makes its name unique.
fn made(path: &Path) -> Option<u64> {
    let unique = path.extension()?.to_str()?;
    Some(uuid::Uuid::try_parse(unique).ok()?.get_timestamp()?.to_unix().0)
}

pub(super) fn modified(path: &Path) -> u64 {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    modified.map_or(0, |time| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
