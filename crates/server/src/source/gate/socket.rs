//! The unix socket of a gate, in a folder that the server alone may enter.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use island::FolderOwner;

/// The name of the socket in its folder.
const NAME: &str = "gate";
/// The longest path of a socket on every system, in bytes.
const LONGEST: usize = 100;

/// A socket at which no gate answers yet.
pub struct GateSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl GateSocket {
    /// Makes the socket in a new folder, for the processes of `owner`, or of the server's own user
    /// where there is none. Who gets into the folder by another way can still not connect. Writes
    /// to the disk.
    pub fn bind(folder: &Path, owner: Option<FolderOwner>) -> io::Result<Self> {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        let path = folder.join(NAME);
        let listener = if path.as_os_str().len() <= LONGEST {
            UnixListener::bind(&path)?
        } else {
            // Only the last part of such a path is short enough for a socket's address.
            let folder = File::open(folder)?;
            UnixListener::bind(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()))?
        };
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        owner.map_or(Ok(()), |owner| owner.take(&path))?;
        Ok(Self { listener, path })
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listener, on this runtime.
    pub(super) fn listen(self) -> io::Result<tokio::net::UnixListener> {
        self.listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(self.listener)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_may_lie_deeper_than_its_address_is_long() {
        let root = tempfile::tempdir().unwrap();
        let short = root.path().join("short");
        let deep = root.path().join("a-folder-with-a-long-name".repeat(4)).join("x".repeat(100));
        for folder in [short, deep] {
            std::fs::create_dir_all(&folder).unwrap();
            let socket = GateSocket::bind(&folder, None).unwrap();
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder), mode(socket.path())), (0o700, 0o600));
            if cfg!(target_os = "linux") {
                let folder = File::open(&folder).unwrap();
                UnixStream::connect(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()))
                    .unwrap();
            }
        }
    }
}
