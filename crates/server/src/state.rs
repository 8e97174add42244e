//! The state directory: one server at a time, and the server's address for other programs.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

mod holder;
mod lock_file;
mod token;

pub use holder::{LockHolder, holder};
use lock_file::LOCK;
pub use token::{AdminToken, TokenError, admin_token, known_admin_token};

/// How long a start waits for a process that holds the directory without an address, and how often
/// it looks.
const LOCK_WAIT: Duration = Duration::from_secs(60);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A locked state directory.
pub struct State {
    path: PathBuf,
    lock: Flock<File>,
}

/// A state directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory cannot be made, read or written.
    #[error("the state directory {0} cannot be used; set state_dir to another folder")]
    Unusable(PathBuf, #[source] std::io::Error),
    /// Another process uses the directory.
    #[error("the state directory {path} is in use by a server{}; stop that server or set state_dir to another folder", .server.as_ref().map(|address| format!(" at {address}")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The address of that server, if it is known.
        server: Option<String>,
    },
}

impl State {
    /// Makes the directory where there is none, for its owner alone, and locks it.
    pub fn open(path: PathBuf) -> Result<Self, StateError> {
        let unusable = |error| StateError::Unusable(path.clone(), error);
        claim(&path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(path.join(LOCK)).map_err(unusable)?;
        let began = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => {
                    let mut state = Self { path, lock };
                    state.write("");
                    return Ok(state);
                }
                Err((busy, nix::Error::EWOULDBLOCK)) => file = busy,
                Err((_, error)) => return Err(unusable(error.into())),
            }
            let held;
            (file, held) = lock_file::is_held(file).map_err(unusable)?;
            let address = lock_file::address(&mut file).unwrap_or_default();
            let server = Some(address).filter(|address| held && !address.is_empty());
            // Without an address the holder is a single call, or a server that is just starting.
            if server.is_some() || began.elapsed() > LOCK_WAIT {
                return Err(StateError::InUse { path, server });
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the server's address into the lock file, for processes that find the directory in
    /// use.
    pub fn announce(&mut self, address: &str) {
        self.write(address);
    }

    /// Removes the server's address, because the server ends: another process waits for the lock
    /// from now on.
    pub fn withdraw(&mut self) {
        self.write("");
    }

    fn write(&mut self, text: &str) {
        let file = &mut *self.lock;
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            let path = self.path.join(LOCK);
            tracing::warn!(path = %path.display(), %error, "the server's address cannot be written");
        }
    }
}

/// Makes the directory for its owner alone, or checks that it is a state directory: files in
/// another folder must not be deleted.
fn claim(path: &Path) -> io::Result<()> {
    let foreign = |what: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, what.to_owned()));
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        }
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_dir() => return foreign("the path is no folder"),
        Ok(_) => {}
    }
    let empty = std::fs::read_dir(path)?.next().is_none();
    if !empty && !path.join(LOCK).exists() {
        return foreign("the folder has files of another program");
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_files_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scratch")).unwrap();
        std::fs::write(folder.path().join("scratch/thesis"), "years of work").unwrap();
        let before = folder.path().metadata().unwrap().permissions();
        assert!(State::open(folder.path().into()).is_err());
        assert!(folder.path().join("scratch/thesis").exists());
        assert_eq!(folder.path().metadata().unwrap().permissions(), before);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(State::open(link).is_err());
    }

    #[test]
    fn a_second_server_is_refused_with_the_address_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path().join("state")).unwrap();
        state.announce("http://127.0.0.1:3281");
        let error = State::open(state.path().into()).err().unwrap();
        assert!(error.to_string().contains("http://127.0.0.1:3281"), "{error}");
        drop(state);
        assert!(State::open(folder.path().join("state")).is_ok());
    }
}
