//! One init or destroy at a time, and none beside a server.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use crate::init::error::InitError;
use crate::state::{State, StateError};

/// The file in a state directory without which no server ever held it.
const SERVERS_LOCK: &str = "lock";

/// A hold on the host against another init or destroy. The file stays: one that was removed could be held twice.
pub(super) struct Held {
    _lock: Flock<File>,
}

impl Held {
    /// Takes hold, without waiting.
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

/// Sees to it that no server runs while the value lives. Where there never was one, no state directory is made.
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
    fn the_second_one_is_told_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let held = Held::take(&lock).unwrap();
        assert!(matches!(Held::take(&lock), Err(InitError::Locked(_))));
        drop(held);
        Held::take(&lock).unwrap();
    }

    #[test]
    fn a_server_is_seen_and_none_is_no_reason_for_a_state_directory() {
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
