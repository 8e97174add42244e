//! Folders that are being made, and folders on their way out.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    pub fn empty(&self) {
        for entry in std::fs::read_dir(&self.trash).into_iter().flatten().flatten() {
            let path = entry.path();
            let removed = remove(&path).or_else(|_| {
                open_up(&path);
                remove(&path)
            });
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "cannot delete; it is tried again later");
            }
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    }
}

/// Gives folders that a stranger's archive made unreadable their rights back.
fn open_up(folder: &Path) {
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
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

    /// Makes a folder in it that belongs to `owner`, the host's id of an island's user.
    pub fn folder(&self, name: &str, owner: Option<u32>) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir(&path)?;
        std::os::unix::fs::chown(&path, owner, owner)?;
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
}
