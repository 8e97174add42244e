//! What an artifact is found by: the hash of a program's bytes and of the base system that it runs in.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use common::single_flight::SingleFlight;
use host::zfs::SnapshotName;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::freebsd::storage::StorageError;

/// What the hash begins with; another way to make an artifact gets another number, so that old ones are not taken for it.
const FORM: &str = "sky-island function 1";
/// How much of a program is read at once, in bytes.
const CHUNK: usize = 256 << 10;
/// How many programs' keys are remembered.
const REMEMBERED: usize = 1024;

/// An artifact's key: 64 hex digits, which are also its dataset's name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(String);

impl Key {
    /// Reads a key back from what ZFS lists; none when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == 64 && hex).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of a program in a base system. Its bytes go to `copy` on the way; the file's own offset stays as it is.
    pub(super) fn of(
        program: &File,
        base: &SnapshotName,
        mut copy: impl Write,
    ) -> io::Result<Self> {
        let mut hash = Sha256::new();
        hash.update(format!("{FORM}\n{base}\n"));
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        loop {
            let read = match program.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hash.update(&buffer[..read]);
            copy.write_all(&buffer[..read])?;
            offset += read as u64;
        }
        Ok(Self(format!("{:x}", hash.finalize())))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys of open programs, each hashed once as long as its file does not change.
pub(super) struct Keys {
    base: SnapshotName,
    known: Mutex<Known>,
    flights: SingleFlight<Stamp, Result<Key, StorageError>>,
}

/// What tells a file, and each change of it, from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The newest stamps with their keys.
#[derive(Default)]
struct Known {
    keys: HashMap<Stamp, Key>,
    order: VecDeque<Stamp>,
}

impl Keys {
    pub(super) fn new(base: SnapshotName) -> Self {
        Self { base, known: Mutex::default(), flights: SingleFlight::default() }
    }

    /// The key of a program.
    pub(super) async fn of(&self, program: &Arc<File>) -> Result<Key, StorageError> {
        let stamp = Stamp::of(program).map_err(StorageError::program)?;
        if let Some(key) = self.known.lock().keys.get(&stamp) {
            return Ok(key.clone());
        }
        let (program, base) = (program.clone(), self.base.clone());
        let flight = self.flights.join(stamp, || async move {
            let hash = tokio::task::spawn_blocking(move || Key::of(&program, &base, io::sink()));
            hash.await.map_err(|_| StorageError::Lost)?.map_err(StorageError::program)
        });
        let key = flight.await??;
        self.known.lock().remember(stamp, key.clone());
        Ok(key)
    }
}

impl Known {
    fn remember(&mut self, stamp: Stamp, key: Key) {
        if self.keys.insert(stamp, key).is_none() {
            self.order.push_back(stamp);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }
}

impl Stamp {
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
    use std::io::{Seek, SeekFrom};

    fn base(text: &str) -> SnapshotName {
        SnapshotName::parse(text).unwrap()
    }

    fn program(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[test]
    fn a_key_is_known_by_the_bytes_and_the_base_alone() {
        let (one, two) = (base("z/base@p1"), base("z/other@p1"));
        let of =
            |bytes: &[u8], base: &SnapshotName| Key::of(&program(bytes), base, io::sink()).unwrap();
        assert_eq!(of(b"a program", &one), of(b"a program", &one));
        assert_ne!(of(b"a program", &one), of(b"a programme", &one));
        assert_ne!(of(b"a program", &one), of(b"a program", &two));
        assert_eq!(Key::parse(of(b"", &one).as_str()), Some(of(b"", &one)));
    }

    #[test]
    fn what_is_hashed_is_what_is_copied_and_the_offset_stays() {
        let bytes: Vec<u8> = (0..CHUNK * 2 + 17).map(|i| (i % 251) as u8).collect();
        let mut file = program(&bytes);
        Arc::get_mut(&mut file).unwrap().seek(SeekFrom::Start(5)).unwrap();
        let mut copy = Vec::new();
        let key = Key::of(&file, &base("z/base@p1"), &mut copy).unwrap();
        assert!(copy == bytes);
        assert_eq!(key, Key::of(&file, &base("z/base@p1"), io::sink()).unwrap());
        assert_eq!((&*file).stream_position().unwrap(), 5);
    }

    #[test]
    fn names_that_are_no_keys_are_not_read() {
        let good = "0123456789abcdef".repeat(4);
        assert!(Key::parse(&good).is_some());
        for bad in ["", "abc", &good[1..], &good.to_uppercase(), &good.replace('0', "/")] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
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
    fn only_so_many_keys_are_remembered() {
        let mut known = Known::default();
        let key = Key::parse(&"0".repeat(64)).unwrap();
        let stamp =
            |inode| Stamp { device: 1, inode, length: 1, modified: (0, 0), changed: (0, 0) };
        for inode in 0..REMEMBERED as u64 + 10 {
            known.remember(stamp(inode), key.clone());
            known.remember(stamp(inode), key.clone());
        }
        assert_eq!((known.keys.len(), known.order.len()), (REMEMBERED, REMEMBERED));
        assert!(known.keys.contains_key(&stamp(REMEMBERED as u64 + 9)));
        assert!(!known.keys.contains_key(&stamp(9)));
    }
}
