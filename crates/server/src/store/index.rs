//! What lies in a store's folder: entries by key, in 256 folders by how their keys begin, so that a
//! look-up of one key reads the names of few.
//!
//! Invariants: an entry is in its key's folder and nowhere else; a folder's names are read once,
//! before anything is found in the folder or published to it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use crate::store::entry::{Entry, Shared};

/// Entries by key.
pub(super) type Entries = HashMap<String, Arc<Entry>>;

/// The entries of a store.
pub(super) struct Index {
    folder: PathBuf,
    shared: Arc<Shared>,
    parts: [OnceLock<Mutex<Entries>>; 256],
}

impl Index {
    pub(super) fn new(folder: PathBuf, shared: Arc<Shared>) -> Self {
        Self { folder, shared, parts: [const { OnceLock::new() }; 256] }
    }

    pub(super) fn root(&self) -> &Path {
        &self.folder
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The part of the index that has the entry of a key. Reads the disk the first time.
    pub(super) fn around(&self, key: &str) -> MutexGuard<'_, Entries> {
        self.part(number(key))
    }

    /// The part of the index that has the entry of a key, if it was read already.
    pub(super) fn in_memory(&self, key: &str) -> Option<MutexGuard<'_, Entries>> {
        Some(self.parts[usize::from(number(key))].get()?.lock())
    }

    /// The folder for entries of a key; makes it where there is none.
    pub(super) fn folder(&self, key: &str) -> io::Result<PathBuf> {
        let folder = self.folder_of(number(key));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(folder),
        }
    }

    /// All entries and their keys. Reads the disk the first time.
    pub(super) fn all(&self) -> Vec<(String, Arc<Entry>)> {
        let mut all = Vec::new();
        for path in self.names(&self.folder) {
            match part_of(&path) {
                Some(number) => {
                    let part = self.part(number);
                    all.extend(part.iter().map(|(key, entry)| (key.clone(), entry.clone())));
                }
                // Earlier versions laid all entries into one folder.
                None if key_of(&path).is_some() => self.shared.trash.take(&path),
                None => {}
            }
        }
        all
    }

    fn part(&self, number: u8) -> MutexGuard<'_, Entries> {
        self.parts[usize::from(number)].get_or_init(|| Mutex::new(self.read(number))).lock()
    }

    fn folder_of(&self, number: u8) -> PathBuf {
        self.folder.join(format!("{number:02x}"))
    }

    /// Reads the names alone, for there may be many: what a folder holds is read when it is needed.
    fn read(&self, number: u8) -> Entries {
        let mut entries = Entries::new();
        for path in self.names(&self.folder_of(number)) {
            let Some(key) = key_of(&path) else { continue };
            let entry = Arc::new(Entry::found(path, self.shared.clone()));
            // A crash between a replacement and the deletion leaves two entries of one key. The
            // newer one counts, whose name was given later: the unique part of a name begins with
            // the time.
            let older = match entries.get(&key) {
                Some(other) if other.path > entry.path => entry,
                _ => match entries.insert(key, entry) {
                    Some(other) => other,
                    None => continue,
                },
            };
            older.remove();
        }
        entries
    }

    fn names(&self, folder: &Path) -> Vec<PathBuf> {
        match std::fs::read_dir(folder) {
            Ok(found) => found.flatten().map(|found| found.path()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(path = %folder.display(), %error, "the cache cannot be read");
                Vec::new()
            }
        }
    }
}

/// The part that a key belongs to: its first two hex digits, as digests begin, or else a sum of its
/// bytes.
fn number(key: &str) -> u8 {
    let digits = key.get(..2).filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
    number.unwrap_or_else(|| key.bytes().fold(0, |sum, byte| sum.wrapping_mul(31) ^ byte))
}

fn part_of(path: &Path) -> Option<u8> {
    let name = path.file_name()?.to_str()?;
    let number = u8::from_str_radix(name, 16).ok()?;
    (format!("{number:02x}") == name).then_some(number)
}

fn key_of(path: &Path) -> Option<String> {
    let (key, unique) = path.file_name()?.to_str()?.rsplit_once('.')?;
    (unique.len() == 32).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::trash::Trash;
    use crate::store::upkeep::Upkeep;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_key_has_one_part_and_a_part_one_name() {
        for (key, expected) in [("00ff", 0), ("a7.b", 0xa7), ("A7b", 0xa7), ("ff-base", 0xff)] {
            assert_eq!(number(key), expected, "{key}");
        }
        // A key that is no digest has a part as well.
        for key in ["", "a", "+1", "zz", "é"] {
            let folder = format!("{:02x}", number(key));
            assert_eq!(part_of(Path::new(&folder)), Some(number(key)), "{key}");
        }
        for name in ["A7", "a", "0a7", "+1", "a7.b", ""] {
            assert_eq!(part_of(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn entries_in_the_layout_of_an_earlier_version_go_to_the_trash() {
        let root = tempfile::tempdir().unwrap();
        let shared = Shared {
            trash: Arc::new(Trash::open(root.path()).unwrap()),
            total: AtomicU64::new(0),
            marked_since: 0,
            upkeep: Upkeep::new(|_| {}),
        };
        let folder = root.path().join("things");
        let old = folder.join(format!("abcd.{}", "0".repeat(32)));
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(folder.join("note"), "").unwrap();
        let index = Index::new(folder.clone(), Arc::new(shared));
        assert!(index.around("abcd").is_empty());
        assert!(index.all().is_empty());
        assert!(!old.exists() && folder.join("note").exists());
    }
}
