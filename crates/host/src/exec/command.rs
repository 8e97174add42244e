//! A command as a value.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// How long a command may run by default.
const DEADLINE: Duration = Duration::from_secs(60);
/// How many bytes a command may print to stdout and to stderr each, by default.
const OUTPUT: u64 = 4 << 20;
/// A program with its arguments. It runs in `/`, with a closed environment and an empty stdin.
#[derive(Clone, Debug)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) stdin: Option<Arc<File>>,
    pub(super) deadline: Duration,
    pub(super) output: u64,
    pub(super) tied: bool,
}

impl Command {
    /// A program by its path, or by its name in the system's folders.
    pub fn program(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            stdin: None,
            deadline: DEADLINE,
            output: OUTPUT,
            tied: false,
        }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With one more variable in its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Reading from this file. The file's offset is shared, so the caller sees how far the command
    /// has read.
    #[must_use]
    pub fn stdin(mut self, file: Arc<File>) -> Self {
        self.stdin = Some(file);
        self
    }

    /// With another deadline than a minute.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With another limit than 4 MiB of stdout and as much of stderr.
    #[must_use]
    pub fn output(mut self, bytes: u64) -> Self {
        self.output = bytes;
        self
    }

    /// Killed by the kernel when this process ends, by SIGKILL for example. Only the command itself
    /// is, and not what it has started.
    #[must_use]
    pub fn tied(mut self) -> Self {
        self.tied = true;
        self
    }

    /// The program and its arguments.
    pub fn vector(&self) -> Vec<&OsStr> {
        std::iter::once(&self.program).chain(&self.args).map(OsString::as_os_str).collect()
    }
}

/// The command as people read it: words with spaces and empty words are quoted. Never given to a
/// shell.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.vector().iter().enumerate() {
            let word = word.to_string_lossy();
            let space = if index == 0 { "" } else { " " };
            if word.is_empty() || word.contains(char::is_whitespace) {
                write!(f, "{space}{word:?}")?;
            } else {
                write!(f, "{space}{word}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_one_would_type_it() {
        let command = Command::program("zfs").args(["create", "tank/a b", ""]);
        assert_eq!(command.to_string(), r#"zfs create "tank/a b" """#);
    }
}
