//! What lies in a store's folder: entries by key, in 256 folders by how their keys begin, so that a
//! look-up of one key reads the names of few.
//!
//! Invariants: an entry is in its key's folder and nowhere else; a folder's names are read once,
//! before anything is found in the folder or published to it. A folder that this host cannot read
//! just now is read with the next look.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::store::entry::{Entry, Shared};

/// Entries by key.
pub(super) type Entries = HashMap<String, Arc<Entry>>;

/// The entries of a store.
pub(super) struct Index {
    folder: PathBuf,
    shared: Arc<Shared>,
    parts: [Mutex<Part>; 256],
}

/// The entries of one folder.
struct Part {
    /// The names in the folder are known.
    read: bool,
    entries: Entries,
}

/// Some entries, locked.
pub(super) type Locked<'a> = MappedMutexGuard<'a, Entries>;

impl Index {
    pub(super) fn new(folder: PathBuf, shared: Arc<Shared>) -> Self {
        let part = |_| Mutex::new(Part { read: false, entries: Entries::new() });
        Self { folder, shared, parts: std::array::from_fn(part) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.folder
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The part of the index that has the entry of a key. Reads the disk the first time.
    pub(super) fn around(&self, key: &str) -> Locked<'_> {
        self.part(number(key))
    }

    /// The part of the index that has the entry of a key, if it was read already.
    pub(super) fn in_memory(&self, key: &str) -> Option<Locked<'_>> {
        let part = self.parts[usize::from(number(key))].lock();
        part.read.then(|| MutexGuard::map(part, |part| &mut part.entries))
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
        for path in self.names(&self.folder).unwrap_or_default() {
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

    fn part(&self, number: u8) -> Locked<'_> {
        let mut part = self.parts[usize::from(number)].lock();
        if !part.read
            && let Some(names) = self.names(&self.folder_of(number))
        {
            part.read = true;
            self.add(names, &mut part.entries);
        }
        MutexGuard::map(part, |part| &mut part.entries)
    }

    fn folder_of(&self, number: u8) -> PathBuf {
        self.folder.join(format!("{number:02x}"))
    }

    /// Adds what has these names. The names are enough, for there may be many: what a folder holds
    /// is read when it is needed.
    fn add(&self, names: Vec<PathBuf>, entries: &mut Entries) {
        for path in names {
            let Some(key) = key_of(&path) else { continue };
            if entries.get(&key).is_some_and(|known| known.path == path) {
                continue;
            }
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
    }

    /// The names in a folder; none where they cannot be read.
    fn names(&self, folder: &Path) -> Option<Vec<PathBuf>> {
        match std::fs::read_dir(folder) {
            Ok(found) => Some(found.flatten().map(|found| found.path()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
            Err(error) => {
                tracing::error!(path = %folder.display(), %error, "the cache cannot be read");
                None
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
            growing: None,
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
