//! How much of the disk a folder takes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The most files that are counted at one measuring; a folder with more is over any limit.
const MAX_FILES: usize = 500_000;
/// stat(2) counts in blocks of this many bytes.
const BLOCK: u64 = 512;

/// The bytes of the files below a folder, following no link; `u64::MAX` when there are too many to count.
pub(crate) fn usage(folder: &Path) -> u64 {
    let (mut total, mut files) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            files += 1;
            if files > MAX_FILES {
                return u64::MAX;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                total += metadata.blocks() * BLOCK;
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
        assert!(usage(&root.path().join("a")) >= 100_000);
        assert!(usage(&root.path().join("b")) < 100_000);
    }
}
