//! What the log says, and where it goes.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The file that it is written to, as JSON; opened anew at SIGHUP. Without one it goes to stderr.
    #[schemars(example = &"/var/log/sky-island.log", extend("x-default" = "stderr"))]
    pub file: Option<PathBuf>,
    /// How much it says, where RUST_LOG does not say so.
    pub level: Level,
}

/// How much the log says: this, and what is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What went wrong on our side.
    Error,
    /// What needs somebody's attention.
    Warn,
    /// One line a call.
    #[default]
    Info,
    /// More than is needed while all is well.
    Debug,
    /// Everything, that of libraries included.
    Trace,
}

impl Level {
    /// Its name.
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
    /// What is wrong with it.
    pub(super) fn problems(&self) -> Option<String> {
        let relative = self.file.as_ref().is_some_and(|file| !file.is_absolute());
        relative.then(|| "log.file: must be an absolute path".to_owned())
    }
}
