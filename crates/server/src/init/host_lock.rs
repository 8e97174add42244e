//! The lock of the host: one `init` or `destroy` at a time, and none while a server runs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use crate::init::error::InitError;
use crate::state::{State, StateError};

/// The lock file in a state directory, which a server makes at its first start.
const SERVERS_LOCK: &str = "lock";

/// The lock that one `init` or `destroy` holds. The file stays: after a removal two processes could
/// lock two files of its name.
pub(super) struct HostLock {
    _lock: Flock<File>,
}

impl HostLock {
    /// Takes the lock without waiting.
    pub(super) fn take(path: &Path) -> Result<Self, InitError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(InitError::file("open", path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err((_, nix::Error::EWOULDBLOCK)) => Err(InitError::Locked(path.to_owned())),
            Err((_, error)) => Err(InitError::file("lock", path)(error.into())),
        }
    }
}

/// Keeps servers from starting while the value lives. Where no server ever ran, no state directory
/// is made.
pub(super) fn no_server(state_dir: &Path) -> Result<Option<State>, InitError> {
    if !state_dir.join(SERVERS_LOCK).exists() {
        return Ok(None);
    }
    match State::open(state_dir.to_owned()) {
        Ok(state) => Ok(Some(state)),
        Err(error @ StateError::InUse { .. }) => Err(InitError::Served(error)),
        Err(StateError::Unusable(path, source)) => Err(InitError::file("lock", path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_of_the_lock_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let held = HostLock::take(&lock).unwrap();
        assert!(matches!(HostLock::take(&lock), Err(InitError::Locked(_))));
        drop(held);
        HostLock::take(&lock).unwrap();
    }

    #[test]
    fn a_running_server_is_found_and_without_one_no_state_directory_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(no_server(&path).unwrap().is_none());
        assert!(!path.exists());
        let mut server = State::open(path.clone()).unwrap();
        server.announce("http://127.0.0.1:3281");
        assert!(matches!(no_server(&path), Err(InitError::Served(_))));
        drop(server);
        assert!(no_server(&path).unwrap().is_some());
    }
}
