//! A finished run of the compiler: the program, or why there is none.

use std::path::PathBuf;

use island::{Ending, Limits, Outcome};

use super::build_trace::{self, BuildTrace};
use super::error::BuildError;
use super::{diagnostics, job};
use crate::store::Scratch;

/// A finished run of the compiler.
pub(super) struct BuildOutput {
    pub(super) outcome: Outcome,
    /// The path of the program, if one was made.
    pub(super) program: PathBuf,
    /// Whether the go command printed its commands.
    pub(super) printed: bool,
    pub(super) limits: Limits,
    /// Bytes that the run could leave on disk.
    pub(super) disk: u64,
    pub(super) _scratch: Scratch,
}

impl BuildOutput {
    /// The diagnostics of the compiler, if it refused the source.
    pub(super) fn diagnostics(&self) -> Option<String> {
        match self.outcome.ending {
            Ending::Exited(1 | 2) => {
                let stderr = self.stderr();
                let stderr =
                    if self.printed { build_trace::without_commands(&stderr) } else { stderr };
                let of_us =
                    diagnostics::is_of_the_cache(&stderr) || diagnostics::is_of_the_host(&stderr);
                (!of_us).then_some(stderr)
            }
            _ => None,
        }
    }

    /// The build trace, if the go command printed one. `kept` says that packages compiled in this
    /// run stay in the cache.
    pub(super) fn trace(&self, kept: bool) -> Option<BuildTrace> {
        let made = self.printed && self.outcome.ending == Ending::Exited(0);
        made.then(|| BuildTrace::read(&self.stderr(), job::MADE, kept)).flatten()
    }

    /// Whether the run was ended for a reason that another way to compile does not change.
    pub(super) fn was_ended(&self) -> bool {
        matches!(self.outcome.ending, Ending::Stopped | Ending::Deadline)
    }

    /// Whether the go command's commands exceeded the output limit.
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
            Ending::Deadline => Err(BuildError::Deadline(self.limits.bounds.deadline)),
            Ending::Stopped => Err(BuildError::Stopped),
            Ending::Memory => Err(BuildError::Memory(self.limits.resources.memory)),
            Ending::Output => Err(BuildError::Output(self.limits.bounds.output)),
            Ending::Disk => Err(BuildError::Size(self.disk)),
            other => Err(BuildError::Broke(format!("{other:?}: {:.2000}", self.stderr()))),
        }
    }
}
