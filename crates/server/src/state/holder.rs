//! Who uses a state directory, for programs that do not want to use it themselves.
//!
//! Invariants: a look changes nothing and keeps no server from starting.

use std::fs::File;
use std::io;
use std::path::Path;

use super::lock_file::{LOCK, address, is_held};

/// Who uses a state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockHolder {
    /// No process.
    None,
    /// A single call, or a server that starts or ends.
    Silent,
    /// A server, at this address: `http://127.0.0.1:3281`.
    Server(String),
}

/// Who uses this directory. Fails where the directory cannot be read.
pub fn holder(state: &Path) -> io::Result<LockHolder> {
    let file = match File::open(state.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockHolder::None),
        other => other?,
    };
    let (mut file, held) = is_held(file)?;
    if !held {
        return Ok(LockHolder::None);
    }
    let address = address(&mut file)?;
    Ok(if address.is_empty() { LockHolder::Silent } else { LockHolder::Server(address) })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use nix::fcntl::{Flock, FlockArg};

    #[test]
    fn the_holder_is_known_as_long_as_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(holder(&path).unwrap(), LockHolder::None);
        let mut state = State::open(path.clone()).unwrap();
        assert_eq!(holder(&path).unwrap(), LockHolder::Silent);
        state.announce("unix:/run/x.sock");
        assert_eq!(holder(&path).unwrap(), LockHolder::Server("unix:/run/x.sock".into()));
        // As after a crash: the address stays in the file.
        drop(state);
        assert_eq!(std::fs::read_to_string(path.join(LOCK)).unwrap(), "unix:/run/x.sock");
        assert_eq!(holder(&path).unwrap(), LockHolder::None);
    }

    #[test]
    fn a_look_refuses_no_start() {
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
