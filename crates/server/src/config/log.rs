//! The section `log`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The file that the log is written to, as JSON. SIGHUP opens it again, after it was moved
    /// away. Where it is not set, the log goes to stderr.
    #[schemars(example = &"/var/log/sky-island.log", extend("x-default" = "stderr"))]
    pub file: Option<PathBuf>,
    /// How much is logged: lines of this level and of the ones before it. The variable RUST_LOG
    /// takes precedence.
    pub level: Level,
}

/// The least severe level that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Failures of the server.
    Error,
    /// What an operator should look at.
    Warn,
    /// One line for each call.
    #[default]
    Info,
    /// Details for finding a fault.
    Debug,
    /// Everything, libraries included.
    Trace,
}

impl Level {
    /// The name of the level.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Log {
    /// The problem of the section.
    pub(super) fn problems(&self) -> Option<String> {
        let relative = self.file.as_ref().is_some_and(|file| !file.is_absolute());
        relative.then(|| {
            format!(
                "log.file: must be an absolute path, not {}",
                self.file.as_deref().unwrap_or(Path::new("")).display()
            )
        })
    }
}
