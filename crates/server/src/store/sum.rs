//! Sums: whether the files of a finished folder are still as they were written.
//!
//! A sum covers the names of all files and folders, the bytes of the files and the targets of the
//! links. It lies in the file that says that the folder is complete.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Files are read in pieces of this many bytes.
const PIECE: usize = 128 << 10;

/// Something below a summed folder.
enum Node {
    Folder,
    Link,
    File,
    /// A pipe, a socket or a device, which has no bytes of its own.
    Other,
}

/// The sum of a folder without the names `without` in it, in hex. Reads every file.
pub(super) fn of(folder: &Path, without: &[&str]) -> io::Result<String> {
    let mut sum = Sha256::new();
    let mut piece = vec![0; PIECE];
    walk(folder, without, |path, node| {
        let name = path.strip_prefix(folder).unwrap_or(path).as_os_str().as_bytes();
        sum.update((name.len() as u64).to_le_bytes());
        sum.update(name);
        match node {
            Node::Folder => sum.update(b"d"),
            Node::Other => sum.update(b"o"),
            Node::Link => {
                let target = fs::read_link(path)?;
                sum.update(b"l");
                sum.update((target.as_os_str().len() as u64).to_le_bytes());
                sum.update(target.as_os_str().as_bytes());
            }
            Node::File => {
                sum.update(b"f");
                let length = add_bytes(&mut sum, open(path)?, &mut piece)?;
                sum.update(length.to_le_bytes());
            }
        }
        Ok(())
    })?;
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A number that changes when a file below a folder is written, unless the writer hides that.
/// Reads no file.
pub(crate) fn stamp(folder: &Path, without: &[&str]) -> io::Result<u64> {
    let mut stamp = DefaultHasher::new();
    walk(folder, without, |path, node| {
        path.hash(&mut stamp);
        if let Node::File = node {
            written(&path.symlink_metadata()?).hash(&mut stamp);
        }
        Ok(())
    })?;
    Ok(stamp.finish())
}

/// What changes when a file is written.
pub(crate) fn written(metadata: &fs::Metadata) -> [i64; 6] {
    [
        metadata.ino().cast_signed(),
        metadata.len().cast_signed(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ]
}

/// Whether a folder still has the sum that is in the file `mark`. A folder whose mark has no sum
/// (that of an earlier version, or one that is still being written) counts as intact. Fails where
/// this host can read no file just now.
pub(crate) fn is_intact(folder: &Path, without: &[&str], mark: &Path) -> io::Result<bool> {
    let expected = match fs::read_to_string(mark) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) if is_of_the_moment(&error) => return Err(error),
        Err(_) => return Ok(false),
    };
    if expected.is_empty() {
        return Ok(true);
    }
    match of(folder, without) {
        Ok(sum) => Ok(sum == expected),
        Err(error) if is_of_the_moment(&error) => Err(error),
        // A file that is gone or cannot be read any more.
        Err(_) => Ok(false),
    }
}

/// Whether an error says nothing about a file: this process or the host has no room for the work.
pub(crate) fn is_of_the_moment(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN))
}

fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn add_bytes(sum: &mut Sha256, mut file: File, piece: &mut [u8]) -> io::Result<u64> {
    let mut length = 0;
    loop {
        match file.read(piece) {
            Ok(0) => return Ok(length),
            Ok(read) => {
                sum.update(&piece[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Visits everything below a folder in an order that depends on the names alone.
fn walk(
    folder: &Path,
    without: &[&str],
    mut visit: impl FnMut(&Path, Node) -> io::Result<()>,
) -> io::Result<()> {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let entries = fs::read_dir(&current)?.collect::<io::Result<Vec<_>>>()?;
        let mut entries: Vec<_> = entries
            .into_iter()
            .filter(|entry| {
                current != folder || !without.iter().any(|name| entry.file_name() == *name)
            })
            .collect();
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let (path, kind) = (entry.path(), entry.file_type()?);
            let node = match () {
                () if kind.is_dir() => Node::Folder,
                () if kind.is_symlink() => Node::Link,
                () if kind.is_file() => Node::File,
                () => Node::Other,
            };
            visit(&path, node)?;
            if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::create_dir(root.path().join("cache")).unwrap();
        fs::write(root.path().join("a/text"), "hello").unwrap();
        fs::write(root.path().join("a/b/empty"), "").unwrap();
        std::os::unix::fs::symlink("a/text", root.path().join("link")).unwrap();
        root
    }

    #[test]
    fn every_change_of_a_name_a_byte_or_a_link_changes_the_sum() {
        let changes: [(&str, fn(&Path)); 8] = [
            ("a byte", |root| fs::write(root.join("a/text"), "hellO").unwrap()),
            ("a shorter file", |root| fs::write(root.join("a/text"), "hell").unwrap()),
            ("a longer file", |root| fs::write(root.join("a/b/empty"), "x").unwrap()),
            ("no file", |root| fs::remove_file(root.join("a/text")).unwrap()),
            ("another file", |root| fs::write(root.join("a/more"), "").unwrap()),
            ("another folder", |root| fs::create_dir(root.join("a/c")).unwrap()),
            ("another name", |root| fs::rename(root.join("a/text"), root.join("a/Text")).unwrap()),
            ("another target", |root| {
                fs::remove_file(root.join("link")).unwrap();
                std::os::unix::fs::symlink("a/b", root.join("link")).unwrap();
            }),
        ];
        let whole = of(tree().path(), &["cache"]).unwrap();
        assert_eq!(whole.len(), 64);
        for (what, change) in changes {
            let root = tree();
            let stamp_before = stamp(root.path(), &["cache"]).unwrap();
            assert_eq!(of(root.path(), &["cache"]).unwrap(), whole);
            change(root.path());
            assert_ne!(of(root.path(), &["cache"]).unwrap(), whole, "{what}");
            // A link that is made anew is the one change without a file.
            let same = stamp(root.path(), &["cache"]).unwrap() == stamp_before;
            assert_eq!(same, what == "another target", "{what}");
        }
        let root = tree();
        fs::write(root.path().join("cache/new"), "x").unwrap();
        assert_eq!(of(root.path(), &["cache"]).unwrap(), whole);
    }

    #[test]
    fn a_folder_is_intact_if_its_mark_says_so_or_says_nothing() {
        let root = tree();
        let mark = root.path().join("cache/mark");
        let intact = || is_intact(root.path(), &["cache"], &mark).unwrap();
        assert!(intact(), "there is no mark yet");
        fs::write(&mark, "").unwrap();
        assert!(intact(), "the mark has no sum");
        fs::write(&mark, of(root.path(), &["cache"]).unwrap()).unwrap();
        assert!(intact());
        fs::write(root.path().join("a/text"), "hellO").unwrap();
        assert!(!intact());
    }
}
