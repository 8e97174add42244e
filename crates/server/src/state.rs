//! The state directory: one server at a time, and where to find it.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

mod holder;
mod token;

pub use holder::{LockHolder, holder};
pub use token::{AdminToken, TokenError, admin_token, known_admin_token};

/// The file that is locked, and that makes a folder one of ours.
const LOCK: &str = "lock";
/// How long a start waits for one that holds the directory without serving, and how often it looks.
const LOCK_WAIT: Duration = Duration::from_secs(60);
const LOCK_POLL: Duration = Duration::from_millis(50);

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
    #[error("the state directory {path} is in use by a server{}", .server.as_ref().map(|place| format!(" at {place}")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Where that server listens, if it has said so.
        server: Option<String>,
    },
}

impl State {
    /// Makes the directory if it is not there, for its owner alone, and takes hold of it.
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
            (file, held) = holder::is_held(file).map_err(unusable)?;
            let place = holder::place(&mut file).unwrap_or_default();
            let server = Some(place).filter(|place| held && !place.is_empty());
            // Without a place the holder is a single call, or a server that is just starting.
            if server.is_some() || began.elapsed() > LOCK_WAIT {
                return Err(StateError::InUse { path, server });
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says where the server listens, for whoever finds the directory in use.
    pub fn announce(&mut self, place: &str) {
        self.write(place);
    }

    /// Says that the server ends: whoever wants the directory waits for that.
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
            tracing::warn!(%error, "cannot write to the lock file");
        }
    }
}

/// Makes the directory for its owner alone, or sees that it is one of ours: what lies in another is not ours to delete.
fn claim(path: &Path) -> io::Result<()> {
    let foreign = |what: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, what.to_owned()));
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        }
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_dir() => return foreign("it is no folder"),
        Ok(_) => {}
    }
    let empty = std::fs::read_dir(path)?.next().is_none();
    if !empty && !path.join(LOCK).exists() {
        return foreign("it has files that are not of this program");
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
    fn a_second_server_is_refused_and_told_where_the_first_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path().join("state")).unwrap();
        state.announce("http://127.0.0.1:3281");
        let error = State::open(state.path().into()).err().unwrap();
        assert!(error.to_string().contains("http://127.0.0.1:3281"), "{error}");
        drop(state);
        assert!(State::open(folder.path().join("state")).is_ok());
    }
}
