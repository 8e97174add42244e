//! The keys of open programs. Each program is hashed once for as long as its file does not change.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use common::single_flight::SingleFlight;
use host::zfs::SnapshotName;
use parking_lot::Mutex;

use crate::freebsd::storage::error::StorageError;
use crate::freebsd::storage::key::Key;

/// How many programs' keys are kept.
const MOST: usize = 1024;

/// The keys of open programs.
pub(super) struct Keys {
    base: SnapshotName,
    known: Mutex<Known>,
    hashing: SingleFlight<FileVersion, Result<Key, StorageError>>,
}

/// What identifies a file and each change of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileVersion {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The newest versions with their keys.
#[derive(Default)]
struct Known {
    keys: HashMap<FileVersion, Key>,
    order: VecDeque<FileVersion>,
}

impl Keys {
    pub(super) fn new(base: SnapshotName) -> Self {
        Self { base, known: Mutex::default(), hashing: SingleFlight::default() }
    }

    /// The key of a program.
    pub(super) async fn of(&self, program: &Arc<File>) -> Result<Key, StorageError> {
        let version = FileVersion::of(program).map_err(StorageError::program)?;
        if let Some(key) = self.known.lock().keys.get(&version) {
            return Ok(key.clone());
        }
        let (program, base) = (program.clone(), self.base.clone());
        let hashed = self.hashing.join(version, || async move {
            let hash = tokio::task::spawn_blocking(move || Key::of(&program, &base, io::sink()));
            hash.await.map_err(|_| StorageError::Lost)?.map_err(StorageError::program)
        });
        let key = hashed.await??;
        self.known.lock().keep(version, key.clone());
        Ok(key)
    }
}

impl Known {
    fn keep(&mut self, version: FileVersion, key: Key) {
        if self.keys.insert(version, key).is_none() {
            self.order.push_back(version);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }
}

impl FileVersion {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn base(text: &str) -> SnapshotName {
        SnapshotName::parse(text).unwrap()
    }

    fn program(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn a_file_is_hashed_again_only_when_it_has_changed() {
        let keys = Keys::new(base("z/base@p1"));
        let file = program(b"first");
        let first = keys.of(&file).await.unwrap();
        assert_eq!(keys.of(&file).await.unwrap(), first);
        assert_eq!(keys.known.lock().keys.len(), 1);
        (&*file).write_all(b" and second").unwrap();
        assert_ne!(keys.of(&file).await.unwrap(), first);
        assert_eq!(keys.known.lock().keys.len(), 2);
    }

    #[test]
    fn only_so_many_keys_are_kept() {
        let mut known = Known::default();
        let key = Key::parse(&"0".repeat(64)).unwrap();
        let version =
            |inode| FileVersion { device: 1, inode, length: 1, modified: (0, 0), changed: (0, 0) };
        for inode in 0..MOST as u64 + 10 {
            known.keep(version(inode), key.clone());
            known.keep(version(inode), key.clone());
        }
        assert_eq!((known.keys.len(), known.order.len()), (MOST, MOST));
        assert!(known.keys.contains_key(&version(MOST as u64 + 9)));
        assert!(!known.keys.contains_key(&version(9)));
    }
}
