//! The file of a socket: made for the server's user and group, taken from a server that is gone and from no other, and
//! removed at the end if it is still ours.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::timeout;

/// Who may connect: the server's user, and its group, such as a proxy's.
const MODE: u32 = 0o660;
/// How long a server that has the file may take to take a connection, before it counts as busy, not as gone.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// The file of a socket that we listen on. It goes with this value.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Its device and number: a file that somebody else put in its place stays.
    id: (u64, u64),
}

impl SocketFile {
    /// The file of a socket that is bound there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: identity(path)? })
    }

    /// Leaves the file to whoever has the socket now.
    pub(super) fn leave(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|id| id == self.id)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the socket's file stays");
        }
    }
}

/// Listens at a path. A file that is no socket, or whose server lives, is left as it is.
pub(super) async fn bind(path: &Path, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    clear(path).await?;
    let socket = UnixSocket::new_stream()?;
    // The umask lets nobody but the owner connect before the mode is set.
    socket.bind(path)?;
    let file = SocketFile::of(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok((socket.listen(backlog)?, file))
}

/// Removes what a server left that is gone.
async fn clear(path: &Path) -> io::Result<()> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    let found = (metadata.dev(), metadata.ino());
    let living = io::Error::new(ErrorKind::AddrInUse, "a server listens there");
    match timeout(PROBE_WAIT, UnixStream::connect(path)).await {
        // Nobody listens on it.
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {}
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // One whose queue is full lives.
        Ok(Err(error)) if error.kind() != ErrorKind::WouldBlock => return Err(error),
        _ => return Err(living),
    }
    if identity(path)? != found {
        return Err(living);
    }
    fs::remove_file(path)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.symlink_metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKLOG: u32 = 16;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        (folder, path)
    }

    #[tokio::test]
    async fn a_socket_is_for_its_user_and_group_and_goes_with_its_server() {
        let (_folder, path) = folder();
        let (listener, file) = bind(&path, BACKLOG).await.unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, MODE);
        UnixStream::connect(&path).await.unwrap();
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_server_left_is_replaced_and_a_living_one_keeps_its_own() {
        let (_folder, path) = folder();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, _file) = bind(&path, BACKLOG).await.unwrap();
        let error = bind(&path, BACKLOG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let client = UnixStream::connect(&path);
        let (client, taken) = tokio::join!(client, listener.accept());
        client.and(taken).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left() {
        let (_folder, path) = folder();
        fs::write(&path, "a diary").unwrap();
        assert_eq!(bind(&path, BACKLOG).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a diary");
    }

    #[tokio::test]
    async fn a_file_that_was_put_in_its_place_and_one_that_was_left_to_others_stay() {
        let (_folder, path) = folder();
        let (_listener, file) = bind(&path, BACKLOG).await.unwrap();
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        fs::write(&path, "").unwrap();
        drop(file);
        assert!(path.exists());
        SocketFile::of(&aside).unwrap().leave();
        assert!(aside.exists());
    }
}
