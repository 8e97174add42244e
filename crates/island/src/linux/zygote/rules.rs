//! The landlock rules of islands that live in one zygote one after the other, as long as the
//! islands run the same program.
//!
//! Invariants: a set of rules allows one program and keeps that program open, so that no other file
//! can come by its inode number. The rules name the folder /tmp, so another /tmp needs other rules.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use landlock::RulesetCreated;
use nix::sys::stat::fstat;

use crate::linux::confine::{self, ConfineError};

/// Rules that are not in effect yet.
pub(crate) struct Rules {
    program: OwnedFd,
    /// The program's device and inode.
    identity: (u64, u64),
    set: RulesetCreated,
}

impl Rules {
    /// The rules of islands that run `program` and may write /tmp.
    pub(crate) fn make(program: OwnedFd) -> Result<Self, ConfineError> {
        let identity = identity(&program)
            .map_err(|source| ConfineError::Call { step: "fstat of the program", source })?;
        let set = confine::file_rules(&["/tmp".into()], false)?;
        let set = confine::allow_program(set, program.as_fd())?;
        Ok(Self { program, identity, set })
    }

    /// Whether these are the rules for `program`.
    pub(crate) fn allow(&self, program: &OwnedFd) -> bool {
        identity(program).is_ok_and(|identity| identity == self.identity)
    }

    /// The descriptor of the program.
    pub(crate) fn program(&self) -> RawFd {
        self.program.as_raw_fd()
    }

    /// Puts the rules into effect for the calling process alone.
    pub(crate) fn seal(&self) -> Result<(), ConfineError> {
        let copy = self
            .set
            .try_clone()
            .map_err(|source| ConfineError::Call { step: "dup of the landlock rules", source })?;
        confine::seal_files(copy)
    }
}

fn identity(program: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(program)?;
    Ok((stat.st_dev, stat.st_ino))
}
