//! Commands of the host: an argument vector, a closed environment, a deadline, and bounded output.
//!
//! What must always hold: nothing here knows a shell; a command that is no longer waited for is
//! killed; what it prints beyond the limit ends it; when a command is said to have failed it has
//! ended, unless not even a kill can end it. [`Executor`] has two forms: [`Host`] runs commands,
//! [`Script`] answers them from a list, so that the code around a command can be tested where the
//! command does not exist.

mod command;
mod host;
mod script;

pub use command::{Command, Output};
pub use host::Host;
pub use script::Script;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Runs commands.
pub trait Executor: Send + Sync {
    /// Runs one to its end, whatever its status. Dropping the future kills it.
    fn run<'a>(
        &'a self,
        command: &'a Command,
    ) -> Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>>;
}

/// An executor that many parts share.
pub type Shared = Arc<dyn Executor>;

/// A command that gave no answer, or a bad one.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It could not be started.
    #[error("`{command}` cannot be run")]
    Start {
        /// The command as people read it.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It did not end in time.
    #[error("`{command}` did not end within {deadline:?}")]
    Deadline {
        /// The command.
        command: String,
        /// What it was given.
        deadline: Duration,
    },
    /// It printed more than it may.
    #[error("`{command}` printed more than {limit} bytes")]
    Output {
        /// The command.
        command: String,
        /// What it was given.
        limit: u64,
    },
    /// It ended badly.
    #[error("`{command}` ended with {}: {}", .output.ending(), .output.complaint())]
    Failed {
        /// The command.
        command: String,
        /// What it left.
        output: Output,
    },
}

impl ExecError {
    /// What a command that ended badly wrote to stderr; empty for every other failure.
    pub fn stderr(&self) -> &str {
        match self {
            Self::Failed { output, .. } => output.stderr.trim(),
            _ => "",
        }
    }
}
