//! Makes what a store wrote survive a power cut.

use std::io;
use std::path::Path;

/// Returns when everything in these folders, and their names in the folders above, is on the disk.
/// `store` is the folder that they all lie in.
///
/// One syncfs(2) serves any number of folders. It was measured on ext4: 7 ms for an artifact and
/// 100 ms for a tree of 2000 files, where an fsync(2) of each file takes 30 ms and 8 s.
#[cfg(target_os = "linux")]
pub(super) fn flush(store: &Path, _folders: &[&Path]) -> io::Result<()> {
    Ok(nix::unistd::syncfs(std::fs::File::open(store)?)?)
}

/// Returns when everything in these folders, and their names in the folders above, is on the disk.
/// `store` is the folder that they all lie in. sync(2) may return before the data is written, so
/// each file is flushed by itself.
#[cfg(not(target_os = "linux"))]
pub(super) fn flush(store: &Path, folders: &[&Path]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let open = |path: &Path| {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
    };
    let mut waiting: Vec<_> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                open(&entry.path())?.sync_all()?;
            }
        }
        open(&folder)?.sync_all()?;
    }
    let mut parents: Vec<_> = folders.iter().filter_map(|folder| folder.parent()).collect();
    parents.sort_unstable();
    parents.dedup();
    for folder in parents.into_iter().chain([store]) {
        open(folder)?.sync_all()?;
    }
    Ok(())
}
