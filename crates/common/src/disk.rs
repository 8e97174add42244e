//! The disk usage of a folder.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The most files that one measurement counts; a folder with more exceeds every limit.
const MAX_FILES: usize = 500_000;
/// stat(2) counts in blocks of this many bytes.
const BLOCK: u64 = 512;

/// The bytes of the files below a folder, without following links. `u64::MAX` when there are more
/// than half a million files, or a path is too long. A folder without read permission counts as
/// `hidden` bytes.
pub fn usage(folder: &Path, hidden: u64) -> u64 {
    let (mut total, mut files) = (0u64, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                total = total.saturating_add(hidden);
                continue;
            }
            Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => return u64::MAX,
            // The folder was removed meanwhile.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            files += 1;
            if files > MAX_FILES {
                return u64::MAX;
            }
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => return u64::MAX,
                Err(_) => continue,
            };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                total = total.saturating_add(metadata.blocks() * BLOCK);
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_counts_as_itself_and_not_as_its_target() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/big"), vec![1; 100_000]).unwrap();
        std::fs::create_dir(root.path().join("b")).unwrap();
        std::os::unix::fs::symlink(root.path().join("a"), root.path().join("b/link")).unwrap();
        assert!(usage(&root.path().join("a"), 0) >= 100_000);
        assert!(usage(&root.path().join("b"), 0) < 100_000);
    }
}
