//! Replays a build trace on a build island: writes the trace's files, then runs its commands until
//! one fails.
//!
//! The replay is trusted no more than the compiler that it runs: it can read and write what the
//! island can.

use std::path::Path;
use std::process::{Command, Stdio};

use super::build_trace::{BuildTrace, Step};

/// Why a build trace was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The input cannot be read.
    #[error("the build trace cannot be received")]
    Input(#[from] std::io::Error),
    /// The input is no build trace.
    #[error("the build trace cannot be parsed")]
    BuildTrace(#[from] serde_json::Error),
    /// A file.
    #[error("{0} of the build trace cannot be written")]
    File(String, #[source] std::io::Error),
    /// A command.
    #[error("{0:?} of the build trace cannot be run")]
    Command(Vec<String>, #[source] std::io::Error),
}

/// Replays a build trace, and returns the exit status of the last command that ran; none if a
/// signal ended it.
pub fn replay(trace: &[u8]) -> Result<Option<i32>, ReplayError> {
    let trace: BuildTrace = serde_json::from_slice(trace)?;
    for (name, text) in &trace.files {
        let folder = Path::new(name).parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(name, text))
            .map_err(|error| ReplayError::File(name.clone(), error))?;
    }
    for Step { env, command } in trace.steps {
        let run = |words: &[String]| {
            let (program, args) = words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
            let env = env.iter().map(|(name, value)| (name, value));
            let mut command = Command::new(program);
            // The compiler prints diagnostics to its standard output, the go command to its
            // standard error.
            command.args(args).envs(env).stdin(Stdio::null()).stdout(std::io::stderr()).status()
        };
        let status = run(&command).map_err(|error| ReplayError::Command(command, error))?;
        if !status.success() {
            return Ok(status.code());
        }
    }
    Ok(Some(0))
}
