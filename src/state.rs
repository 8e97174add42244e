//! The state directory: one server at a time, and where to find it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// A hold on a state directory.
pub struct State {
    path: PathBuf,
    lock: Flock<File>,
}

/// A state directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or written.
    #[error("the state directory {0} cannot be used; set state_dir to one that can")]
    Unusable(PathBuf, #[source] std::io::Error),
    /// Another server has it.
    #[error("the state directory {path} is in use by a server{}", .server.map(|a| format!(" at http://{a}")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Where that server listens, if it has said so.
        server: Option<SocketAddr>,
    },
}

impl State {
    /// Makes the directory if it is not there, for its owner alone, and takes hold of it.
    pub fn open(path: PathBuf) -> Result<Self, StateError> {
        let unusable = |error| StateError::Unusable(path.clone(), error);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(unusable)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
            .map_err(unusable)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path.join("lock")).map_err(unusable)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                let mut state = Self { path, lock };
                state.write("");
                Ok(state)
            }
            Err((mut file, nix::Error::EWOULDBLOCK)) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                Err(StateError::InUse { path, server: text.trim().parse().ok() })
            }
            Err((_, error)) => Err(unusable(error.into())),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says where the server listens, for whoever finds the directory in use.
    pub fn announce(&mut self, address: SocketAddr) {
        self.write(&address.to_string());
    }

    fn write(&mut self, text: &str) {
        let file = &mut *self.lock;
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, "cannot write to the lock file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_refused_and_told_where_the_first_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path().join("state")).unwrap();
        state.announce("127.0.0.1:3281".parse().unwrap());
        let error = State::open(state.path().into()).err().unwrap();
        assert!(error.to_string().contains("http://127.0.0.1:3281"), "{error}");
        drop(state);
        assert!(State::open(folder.path().join("state")).is_ok());
    }
}
