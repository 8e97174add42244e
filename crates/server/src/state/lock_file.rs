//! The lock file of a state directory: locked as long as the directory is in use, with the address
//! of the server in it.

use std::fs::File;
use std::io::{self, Read, Seek};

use nix::fcntl::{Flock, FlockArg};

/// The name of the file. A folder without it is no state directory.
pub(super) const LOCK: &str = "lock";

/// The address that the holder of the lock has written into the file; empty when there is none.
pub(super) fn address(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// Whether a process holds the lock exclusively. A process that only looks, as this one does, does
/// not count.
pub(super) fn is_held(file: File) -> io::Result<(File, bool)> {
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(shared) => Ok((shared.unlock().map_err(|(_, error)| error)?, false)),
        Err((file, nix::Error::EWOULDBLOCK)) => Ok((file, true)),
        Err((_, error)) => Err(error.into()),
    }
}
