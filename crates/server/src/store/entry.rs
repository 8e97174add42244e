//! One entry of a store: a folder, its size, and when and how often it was used.
//!
//! What must always hold: an entry that was let go of leaves the disk with its last handle, and not before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::trash::Trash;

/// A folder in a store. Whoever holds it may read it.
pub struct Entry {
    pub(super) path: PathBuf,
    bytes: AtomicU64,
    /// Seconds since 1970 of the last use; 0 until somebody asks, for then the folder says it.
    used: AtomicU64,
    /// The time of the last use that the folder says.
    written: AtomicU64,
    /// How often it was found, since this start.
    pub(super) hits: AtomicU64,
    doomed: AtomicBool,
    trash: Arc<Trash>,
}

/// What is told of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its key.
    pub key: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Seconds since 1970 when it was made.
    pub made: u64,
    /// Seconds since 1970 when it was used last.
    pub used: u64,
    /// How often it was found since this start.
    pub hits: u64,
}

impl Entry {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn new(path: PathBuf, trash: Arc<Trash>) -> Self {
        let (bytes, used, written, hits) = Default::default();
        Self { path, bytes, used, written, hits, doomed: AtomicBool::new(false), trash }
    }

    /// What is told of it, under this key. Reads the disk where its size is not known yet.
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
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn measure(&self) {
        self.bytes.store(common::disk::usage(&self.path, 0), Ordering::Relaxed);
    }

    pub(super) fn used(&self) -> u64 {
        match self.used.load(Ordering::Relaxed) {
            0 => {
                let found = modified(&self.path);
                self.written.store(found, Ordering::Relaxed);
                // Somebody may use it just now.
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
    pub(super) fn remember_use(&self) {
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

    pub(super) fn doom(&self) {
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
