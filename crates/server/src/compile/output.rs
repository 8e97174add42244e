//! A run of the compiler that ended: what it made, or why it made nothing.

use std::path::PathBuf;

use island::{Ending, Limits, Outcome};

use super::build_trace::{self, BuildTrace};
use super::compiler::BuildError;
use super::{diagnostics, job};
use crate::store::Scratch;

/// A run of the compiler that ended.
pub(super) struct BuildOutput {
    pub(super) outcome: Outcome,
    /// Where the program lies, if one was made.
    pub(super) program: PathBuf,
    /// Whether the go command was to print what it does.
    pub(super) printed: bool,
    pub(super) limits: Limits,
    pub(super) _scratch: Scratch,
}

impl BuildOutput {
    /// What the compiler complained of, if that is how it ended.
    pub(super) fn complaint(&self) -> Option<String> {
        match self.outcome.ending {
            Ending::Exited(1 | 2) => {
                let stderr = self.stderr();
                let stderr =
                    if self.printed { build_trace::without_commands(&stderr) } else { stderr };
                (!diagnostics::is_of_the_cache(&stderr)).then_some(stderr)
            }
            _ => None,
        }
    }

    /// How the program was made, if the go command printed it. `kept` says that what it has cached beside the program stays.
    pub(super) fn recipe(&self, kept: bool) -> Option<BuildTrace> {
        let made = self.printed && self.outcome.ending == Ending::Exited(0);
        made.then(|| BuildTrace::read(&self.stderr(), job::MADE, kept)).flatten()
    }

    /// Whether it was ended for a reason that has nothing to do with how it compiles.
    pub(super) fn was_ended(&self) -> bool {
        matches!(self.outcome.ending, Ending::Stopped | Ending::Deadline)
    }

    /// Whether the go command printed more than it may.
    pub(super) fn printed_too_much(&self) -> bool {
        self.printed && self.outcome.ending == Ending::Output
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.outcome.stderr).into_owned()
    }

    /// Success, or why not.
    pub(super) fn accept(&self) -> Result<(), BuildError> {
        match self.outcome.ending {
            Ending::Exited(0) => Ok(()),
            Ending::Deadline => Err(BuildError::Deadline(self.limits.deadline)),
            Ending::Stopped => Err(BuildError::Stopped),
            Ending::Memory => Err(BuildError::Memory(self.limits.memory)),
            Ending::Output | Ending::Disk => Err(BuildError::Size),
            other => Err(BuildError::Broke(format!("{other:?}: {:.2000}", self.stderr()))),
        }
    }
}
