//! The trait of everything that runs commands.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::command::Command;
use super::error::ExecError;
use super::output::Output;

/// Runs commands.
pub trait Executor: Send + Sync {
    /// Runs a command to its end, whatever its status. Dropping the future kills the command.
    fn run<'a>(
        &'a self,
        command: &'a Command,
    ) -> Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>>;
}

/// An executor that many parts share.
pub type Shared = Arc<dyn Executor>;
