//! The folders of functions' islands, each in the folder of all islands, on which the launcher
//! mounts the root.
//!
//! Invariants: the server makes an island's folder before it asks the launcher for the island. The
//! launcher removes the folder when it has undone everything else, or the janitor does. So a folder
//! that is gone proves that nothing is left of its island, and a launcher that goes on after the
//! teardown of an island cannot make it.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::id::IslandId;

/// Nothing but root passes the folder: an island begins at what is mounted on it.
const MODE: u32 = 0o700;

/// Makes an island's folder.
pub(super) async fn make(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    blocking(move || {
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(MODE))
    })
    .await
}

/// Whether an island's folder is there.
pub(super) async fn exists(folder: &Path) -> io::Result<bool> {
    let folder = folder.to_owned();
    blocking(move || match fs::symlink_metadata(folder) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    })
    .await
}

/// Removes an island's folder, on which nothing may be mounted. A missing folder is no error.
pub(super) async fn remove(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    blocking(move || match fs::remove_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
    .await
}

/// The islands that have a folder in `run`, a clone's mount point included.
pub(super) async fn list(run: &Path) -> io::Result<Vec<IslandId>> {
    let run = run.to_owned();
    blocking(move || {
        let mut found = Vec::new();
        for entry in fs::read_dir(run)? {
            found.extend(entry?.file_name().to_str().and_then(IslandId::parse));
        }
        Ok(found)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_made_once_for_root_alone_and_removed_when_it_is_empty() {
        let run = tempfile::tempdir().unwrap();
        let id = IslandId::mint();
        let folder = run.path().join(id.as_str());
        assert!(!exists(&folder).await.unwrap());
        make(&folder).await.unwrap();
        assert!(exists(&folder).await.unwrap());
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(make(&folder).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::write(folder.join("x"), "").unwrap();
        assert!(remove(&folder).await.is_err());
        fs::remove_file(folder.join("x")).unwrap();
        fs::create_dir(run.path().join("www")).unwrap();
        assert_eq!(list(run.path()).await.unwrap(), [id]);
        for _ in 0..2 {
            remove(&folder).await.unwrap();
        }
        assert!(list(run.path()).await.unwrap().is_empty());
    }
}
