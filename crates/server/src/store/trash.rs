//! Folders that are being made, and folders on their way out.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use island::FolderOwner;
use uuid::Uuid;

/// Two folders of a state directory: `scratch` for what is being made, `trash` for what is to be deleted. Both are
/// emptied at start, for what a crash left in them is of no use.
pub struct Trash {
    scratch: PathBuf,
    trash: PathBuf,
    filled: tokio::sync::Notify,
}

impl Trash {
    /// Opens the folders below `state` and empties them.
    pub fn open(state: &Path) -> io::Result<Self> {
        let (scratch, trash) = (state.join("scratch"), state.join("trash"));
        std::fs::create_dir_all(&trash)?;
        let this = Self { scratch, trash, filled: tokio::sync::Notify::new() };
        if this.scratch.exists() {
            this.take(&this.scratch);
        }
        std::fs::create_dir_all(&this.scratch)?;
        this.empty();
        Ok(this)
    }

    /// A new empty folder.
    pub fn scratch(self: &Arc<Self>) -> io::Result<Scratch> {
        let path = self.scratch.join(Uuid::now_v7().simple().to_string());
        std::fs::create_dir(&path)?;
        Ok(Scratch { path, trash: self.clone(), armed: true })
    }

    /// Takes a folder out of the way at once; [`Trash::empty`] deletes it.
    pub(super) fn take(&self, path: &Path) {
        let target = self.trash.join(Uuid::now_v7().simple().to_string());
        match std::fs::rename(path, &target) {
            Ok(()) => self.filled.notify_one(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot move to the trash")
            }
        }
    }

    /// Resolves when something was put in.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Deletes what lies in the trash. Takes as long as the disk needs.
    ///
    /// A stranger decides how deep a folder is, so it is not descended into: what lies in it as a folder is moved up
    /// beside it, and its turn comes. That needs two descriptors and short paths, whatever was left there.
    pub fn empty(&self) {
        let entries = std::fs::read_dir(&self.trash).into_iter().flatten().flatten();
        let mut waiting: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        while let Some(path) = waiting.pop() {
            if let Err(error) = self.remove(&path, &mut waiting) {
                tracing::warn!(path = %path.display(), %error, "cannot delete; it is tried again later");
            }
        }
    }

    fn remove(&self, path: &Path, waiting: &mut Vec<PathBuf>) -> io::Result<()> {
        if !path.symlink_metadata()?.is_dir() {
            return std::fs::remove_file(path);
        }
        // A stranger's archive may have made it unreadable.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                std::fs::remove_file(entry.path())?;
            } else if std::fs::remove_dir(entry.path()).is_err() {
                // Moving a folder changes its link to the one above, for which its owner needs the right to write it.
                std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o700))?;
                let beside = self.trash.join(Uuid::now_v7().simple().to_string());
                std::fs::rename(entry.path(), &beside)?;
                waiting.push(beside);
            }
        }
        std::fs::remove_dir(path)
    }
}

/// A folder that is being made. Dropped, it goes to the trash.
pub struct Scratch {
    path: PathBuf,
    trash: Arc<Trash>,
    armed: bool,
}

impl Scratch {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder in it that belongs to `owner`, or to the server where there is none.
    pub fn folder(&self, name: &str, owner: Option<FolderOwner>) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir(&path)?;
        if let Some(owner) = owner {
            owner.take(&path)?;
        }
        Ok(path)
    }

    /// Takes a folder of it out of the way.
    pub fn discard(&self, name: &str) {
        self.trash.take(&self.path.join(name));
    }

    pub(super) fn keep_at(mut self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)?;
        self.armed = false;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.armed {
            self.trash.take(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_is_deleted_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let trash = Arc::new(Trash::open(root.path()).unwrap());
        let scratch = trash.scratch().unwrap();
        let locked = scratch.folder("locked", None).unwrap();
        std::fs::create_dir(locked.join("in")).unwrap();
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
        std::mem::forget(scratch);
        drop(trash);
        let trash = Trash::open(root.path()).unwrap();
        for folder in [&trash.scratch, &trash.trash] {
            assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "{}", folder.display());
        }
    }

    #[test]
    fn a_folder_deeper_than_a_path_is_long_is_deleted_with_few_descriptors() {
        const DEPTH: usize = 1500;
        let root = tempfile::tempdir().unwrap();
        let trash = Arc::new(Trash::open(root.path()).unwrap());
        let scratch = trash.scratch().unwrap();
        let outside = root.path().join("outside");
        std::fs::write(&outside, "stays").unwrap();
        std::os::unix::fs::symlink(&outside, scratch.path().join("link")).unwrap();
        // Built from the inside out, for no path reaches the bottom.
        let (tree, next) = (scratch.path().join("tree"), scratch.path().join("next"));
        std::fs::create_dir(&tree).unwrap();
        for _ in 0..DEPTH {
            std::fs::create_dir(&next).unwrap();
            std::fs::write(next.join("file"), "x").unwrap();
            std::fs::rename(&tree, next.join("deeper")).unwrap();
            std::fs::rename(&next, &tree).unwrap();
        }
        drop(scratch);
        trash.empty();
        assert_eq!(std::fs::read_dir(&trash.trash).unwrap().count(), 0);
        assert_eq!(std::fs::read_to_string(outside).unwrap(), "stays");
    }
}
