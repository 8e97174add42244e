//! Folders that are being made, and folders that wait for their deletion.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use island::FolderOwner;
use parking_lot::Mutex;
use uuid::Uuid;

/// Two folders of a state directory: `scratch` for what is being made, `trash` for what is to be
/// deleted. Both are emptied at start, because a crash leaves in them only what is of no use.
pub struct Trash {
    scratch: PathBuf,
    trash: PathBuf,
    /// Folders that are to be moved into the trash.
    leaving: Mutex<Vec<PathBuf>>,
    filled: tokio::sync::Notify,
}

impl Trash {
    /// Opens the folders below `state` and empties them.
    pub fn open(state: &Path) -> io::Result<Self> {
        let (scratch, trash) = (state.join("scratch"), state.join("trash"));
        std::fs::create_dir_all(&trash)?;
        let (leaving, filled) = Default::default();
        let this = Self { scratch, trash, leaving, filled };
        if this.scratch.exists() {
            this.take(&this.scratch);
        }
        std::fs::create_dir_all(&this.scratch)?;
        this.empty();
        Ok(this)
    }

    /// A new empty folder. Writes to the disk.
    pub fn scratch(self: &Arc<Self>) -> io::Result<Scratch> {
        let path = self.scratch.join(Uuid::now_v7().simple().to_string());
        std::fs::create_dir(&path)?;
        Ok(Scratch { path, trash: self.clone(), armed: true })
    }

    /// Moves a folder into the trash at once; [`Trash::empty`] deletes it. Writes to the disk.
    pub(super) fn take(&self, path: &Path) {
        let target = self.trash.join(Uuid::now_v7().simple().to_string());
        match std::fs::rename(path, &target) {
            Ok(()) => self.filled.notify_one(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a folder cannot be moved to the trash");
            }
        }
    }

    /// Moves a folder into the trash: with the next [`Trash::empty`] where a runtime would wait for
    /// the disk, at once elsewhere.
    pub(super) fn take_later(&self, path: &Path) {
        if tokio::runtime::Handle::try_current().is_err() {
            return self.take(path);
        }
        self.leaving.lock().push(path.to_owned());
        self.filled.notify_one();
    }

    /// Resolves when [`Trash::empty`] has something to delete.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Deletes what lies in the trash. Takes as long as the disk needs.
    ///
    /// An untrusted archive decides how deep a folder is, so this does not descend: a folder inside
    /// a folder is moved up beside it and deleted in its turn. Two descriptors and short paths are
    /// enough for any tree.
    pub fn empty(&self) {
        let leaving = std::mem::take(&mut *self.leaving.lock());
        leaving.iter().for_each(|path| self.take(path));
        let entries = std::fs::read_dir(&self.trash).into_iter().flatten().flatten();
        let mut waiting: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        while let Some(path) = waiting.pop() {
            if let Err(error) = self.remove(&path, &mut waiting) {
                tracing::warn!(path = %path.display(), %error, "a folder in the trash cannot be deleted; the next round tries again");
            }
        }
    }

    fn remove(&self, path: &Path, waiting: &mut Vec<PathBuf>) -> io::Result<()> {
        if !path.symlink_metadata()?.is_dir() {
            return std::fs::remove_file(path);
        }
        // An untrusted archive may have made the folder unreadable.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                std::fs::remove_file(entry.path())?;
            } else if std::fs::remove_dir(entry.path()).is_err() {
                // Moving a folder changes its `..`, for which its owner needs the right to write
                // the folder.
                std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o700))?;
                let beside = self.trash.join(Uuid::now_v7().simple().to_string());
                std::fs::rename(entry.path(), &beside)?;
                waiting.push(beside);
            }
        }
        std::fs::remove_dir(path)
    }
}

/// A folder that is being made. A dropped one goes to the trash.
pub struct Scratch {
    path: PathBuf,
    trash: Arc<Trash>,
    armed: bool,
}

impl Scratch {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder inside that belongs to `owner`, or to the server where there is none. Writes
    /// to the disk.
    pub fn folder(&self, name: &str, owner: Option<FolderOwner>) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir(&path)?;
        if let Some(owner) = owner {
            owner.take(&path)?;
        }
        Ok(path)
    }

    /// Moves a folder inside to the trash. Writes to the disk.
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
            self.trash.take_later(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_a_crash_are_deleted_at_the_next_start() {
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

    #[tokio::test]
    async fn a_folder_that_a_runtime_drops_is_deleted_with_the_next_round() {
        let root = tempfile::tempdir().unwrap();
        let trash = Arc::new(Trash::open(root.path()).unwrap());
        let path = trash.scratch().unwrap().path().to_owned();
        assert!(path.exists(), "the runtime's thread renamed it");
        trash.filled().await;
        trash.empty();
        assert!(!path.exists() && std::fs::read_dir(&trash.trash).unwrap().next().is_none());
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
        // Built from the inside out, because no path reaches the bottom.
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
