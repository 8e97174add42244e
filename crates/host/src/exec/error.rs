//! Why a command gave no result.

use std::time::Duration;

use super::command::Command;
use super::output::Output;

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The program could not be started.
    #[error("`{command}` cannot be run")]
    Start {
        /// The command as people read it.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The command was killed at its deadline.
    #[error("`{command}` was killed because it did not end within {deadline:?}")]
    Deadline {
        /// The command.
        command: String,
        /// The deadline.
        deadline: Duration,
    },
    /// The command was killed because it printed too much.
    #[error("`{command}` was killed because it printed more than {limit} bytes")]
    Output {
        /// The command.
        command: String,
        /// The limit.
        limit: u64,
    },
    /// The command ended with another status than 0, or by a signal.
    #[error("`{command}` ended with {}: {}", .output.ending(), .output.message())]
    Failed {
        /// The command.
        command: String,
        /// What the command printed.
        output: Output,
    },
}

impl ExecError {
    /// The stderr of a command that ended with a failure; empty for every other error.
    pub fn stderr(&self) -> &str {
        match self {
            Self::Failed { output, .. } => output.stderr.trim(),
            _ => "",
        }
    }
}

impl Output {
    /// The stdout of a command that ended with status 0, or else the failure.
    pub fn success(self, command: &Command) -> Result<String, ExecError> {
        if self.code == Some(0) {
            return Ok(self.stdout);
        }
        Err(ExecError::Failed { command: command.to_string(), output: self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_its_message() {
        let command = Command::program("zfs").args(["list", "nope"]);
        let output = Output {
            code: Some(1),
            stdout: String::new(),
            stderr: "cannot open 'nope':\n  dataset does not exist\n".into(),
        };
        let error = output.success(&command).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`zfs list nope` ended with status 1: cannot open 'nope':; dataset does not exist"
        );
    }
}
