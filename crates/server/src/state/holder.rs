//! Who has a state directory, as those find out who do not want it themselves.
//!
//! What must always hold: asking changes nothing, and keeps nobody from starting.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::LOCK;

/// Who has a state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockHolder {
    /// Nobody.
    Nobody,
    /// A single call, or a server that starts or ends.
    Silent,
    /// A server, which listens there: `http://127.0.0.1:3281`.
    Server(String),
}

/// Who has this directory. Fails where it may not be looked into.
pub fn holder(state: &Path) -> io::Result<LockHolder> {
    let file = match File::open(state.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockHolder::Nobody),
        other => other?,
    };
    let (mut file, held) = is_held(file)?;
    if !held {
        return Ok(LockHolder::Nobody);
    }
    let place = place(&mut file)?;
    Ok(if place.is_empty() { LockHolder::Silent } else { LockHolder::Server(place) })
}

/// Where the holder of the lock file says that it listens; empty when it does not.
pub(super) fn place(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// Whether somebody has the lock to himself, and not only asks as this does.
pub(super) fn is_held(file: File) -> io::Result<(File, bool)> {
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(shared) => Ok((shared.unlock().map_err(|(_, error)| error)?, false)),
        Err((file, nix::Error::EWOULDBLOCK)) => Ok((file, true)),
        Err((_, error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn the_holder_is_known_as_long_as_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(holder(&path).unwrap(), LockHolder::Nobody);
        let mut state = State::open(path.clone()).unwrap();
        assert_eq!(holder(&path).unwrap(), LockHolder::Silent);
        state.announce("unix:/run/x.sock");
        assert_eq!(holder(&path).unwrap(), LockHolder::Server("unix:/run/x.sock".into()));
        // As after a crash: what was said stays in the file.
        drop(state);
        assert_eq!(std::fs::read_to_string(path.join(LOCK)).unwrap(), "unix:/run/x.sock");
        assert_eq!(holder(&path).unwrap(), LockHolder::Nobody);
    }

    #[test]
    fn a_start_is_not_refused_because_somebody_asks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        State::open(path.clone()).unwrap().announce("http://127.0.0.1:3281");
        let asking = File::open(path.join(LOCK)).unwrap();
        let asking = Flock::lock(asking, FlockArg::LockSharedNonblock).unwrap();
        let start = std::thread::spawn(move || State::open(path).map(drop));
        std::thread::sleep(2 * super::super::LOCK_POLL);
        drop(asking);
        start.join().unwrap().unwrap();
    }
}
