//! Scratch folders below `$TMPDIR`, and the removal of untrusted trees.
//! A [`Scratch`] removes itself when dropped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A fresh folder that is removed with this value.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the folder.
    pub(super) fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = std::env::temp_dir();
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("sky-fetch-{}-{n}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // Left by an earlier process with this id.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside, made if it is not there.
    pub(super) fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The /tmp of an island goes with the island; this is for callers without one.
        let _ = remove_tree(&self.path);
    }
}

/// Removes a tree, read-only folders included. A missing tree is no error.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    make_writable(path)?;
    std::fs::remove_dir_all(path)
}

/// Gives the owner write permission on every file and folder below `root`, links untouched.
pub(super) fn make_writable(root: &Path) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(root)?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = meta.permissions();
    let wanted = writable(&mode, meta.is_dir());
    if wanted != mode {
        std::fs::set_permissions(root, wanted)?;
    }
    if meta.is_dir() {
        for entry in std::fs::read_dir(root)? {
            make_writable(&entry?.path())?;
        }
    }
    Ok(())
}

fn writable(mode: &std::fs::Permissions, folder: bool) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    let owner = if folder { 0o700 } else { 0o600 };
    std::fs::Permissions::from_mode(mode.mode() | owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_scratch_folder_goes_with_its_value_even_when_parts_are_read_only() {
        let scratch = Scratch::new().unwrap();
        let inner = scratch.folder("a").unwrap();
        std::fs::write(inner.join("f"), "x").unwrap();
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o500)).unwrap();
        let path = scratch.path().to_path_buf();
        drop(scratch);
        assert!(!path.exists());
    }
}
