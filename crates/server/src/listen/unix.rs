//! The file of a Unix socket: made for the server's user and group, replaced only where no server
//! listens on it any more, and removed at the end unless another file has its path.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::timeout;

/// The server's user may connect, and its group, for a proxy.
const MODE: u32 = 0o660;
/// How long another server may take to accept a connection. One that takes longer counts as busy,
/// not as gone.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// The file of a socket that this server listens on; removed when this value is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// The device and the inode: another file at the path stays.
    id: (u64, u64),
}

impl SocketFile {
    /// The file of a socket that is bound to this path.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: identity(path)? })
    }

    /// Leaves the file to the process that has the socket now.
    pub(super) fn leave(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|id| id == self.id)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the file of the socket cannot be removed");
        }
    }
}

/// Listens on a path. A file that is no socket, or on which a server listens, is left as it is.
pub(super) async fn bind(path: &Path, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    clear(path).await?;
    let socket = UnixSocket::new_stream()?;
    // Until the mode is set the umask lets the owner alone connect.
    socket.bind(path)?;
    let file = SocketFile::of(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok((socket.listen(backlog)?, file))
}

/// Removes the file of a socket on which no server listens any more.
async fn clear(path: &Path) -> io::Result<()> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "the file there is not a socket"));
    }
    let found = (metadata.dev(), metadata.ino());
    let in_use = io::Error::new(ErrorKind::AddrInUse, "another server listens there");
    match timeout(PROBE_WAIT, UnixStream::connect(path)).await {
        // No process listens on it.
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {}
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // EAGAIN: the queue of a server is full.
        Ok(Err(error)) if error.kind() != ErrorKind::WouldBlock => return Err(error),
        _ => return Err(in_use),
    }
    if identity(path)? != found {
        return Err(in_use);
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
    async fn a_socket_is_for_its_user_and_group_and_is_removed_with_its_server() {
        let (_folder, path) = folder();
        let (listener, file) = bind(&path, BACKLOG).await.unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, MODE);
        UnixStream::connect(&path).await.unwrap();
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_file_of_a_server_that_is_gone_is_replaced_and_that_of_a_running_one_is_not() {
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
    async fn a_file_that_is_no_socket_stays() {
        let (_folder, path) = folder();
        fs::write(&path, "a diary").unwrap();
        assert_eq!(bind(&path, BACKLOG).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a diary");
    }

    #[tokio::test]
    async fn another_file_at_the_path_and_the_file_of_a_socket_that_was_handed_over_stay() {
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
