//! How much of the disk a folder takes.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The most files that are counted at one measuring; a folder with more is over any limit.
const MAX_FILES: usize = 500_000;
/// stat(2) counts in blocks of this many bytes.
const BLOCK: u64 = 512;

/// The bytes of the files below a folder, following no link; `u64::MAX` when there are too many to
/// count, or when a folder lies deeper than a path can say. A folder that may not be read counts as
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
            // It has gone meanwhile.
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
    fn a_link_counts_as_itself_and_not_as_what_it_points_at() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/big"), vec![1; 100_000]).unwrap();
        std::fs::create_dir(root.path().join("b")).unwrap();
        std::os::unix::fs::symlink(root.path().join("a"), root.path().join("b/link")).unwrap();
        assert!(usage(&root.path().join("a"), 0) >= 100_000);
        assert!(usage(&root.path().join("b"), 0) < 100_000);
    }
}
