//! The landlock rules of islands that live in one berth one after the other, as long as they run the same program.
//!
//! What must always hold: rules allow one program, which they keep open, so that no other file can come by its number;
//! they are made anew when the berth's /tmp is another, for they name that very folder.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use landlock::RulesetCreated;
use nix::sys::stat::fstat;

use crate::linux::confine;

/// Rules that are not in force yet.
pub(crate) struct Rules {
    program: OwnedFd,
    /// Its device and inode.
    identity: (u64, u64),
    set: RulesetCreated,
}

impl Rules {
    /// Those of islands that run `program` and may write /tmp.
    pub(crate) fn make(program: OwnedFd) -> Result<Self, String> {
        let identity = identity(&program).map_err(|error| format!("the program: {error}"))?;
        let set = confine::file_rules(&["/tmp".into()], false)?;
        let set = confine::allow_program(set, program.as_fd())?;
        Ok(Self { program, identity, set })
    }

    pub(crate) fn allow(&self, program: &OwnedFd) -> bool {
        identity(program).is_ok_and(|identity| identity == self.identity)
    }

    /// The descriptor of the program.
    pub(crate) fn program(&self) -> RawFd {
        self.program.as_raw_fd()
    }

    /// Puts them into force for this process, which leaves them to the one that has made them.
    pub(crate) fn seal(&self) -> Result<(), String> {
        let copy = self.set.try_clone().map_err(|error| format!("landlock: {error}"))?;
        confine::seal_files(copy)
    }
}

fn identity(program: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(program)?;
    Ok((stat.st_dev, stat.st_ino))
}
