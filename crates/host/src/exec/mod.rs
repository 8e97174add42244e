//! Commands of the host: an argument vector, a closed environment, a deadline, and bounded output.
//!
//! Invariants: no shell is involved; dropping the future kills the command; output beyond the limit
//! kills the command; a command that is reported as failed has ended, unless not even SIGKILL ends
//! it. [`Host`] runs commands; [`Script`] answers commands from a list, for tests of code whose
//! commands this system does not have.

mod command;
mod error;
mod executor;
mod host;
mod output;
mod script;
mod tied;

pub use command::Command;
pub use error::ExecError;
pub use executor::{Executor, Shared};
pub use host::Host;
pub use output::Output;
pub use script::Script;
