//! How a launcher is started, and what follows the death of one.

use std::path::PathBuf;

use serde::Serialize;

use crate::backend::StartError;

/// How a launcher is started.
pub(crate) struct LauncherConfig {
    /// This program, which is a launcher when its first argument says so.
    pub(super) program: PathBuf,
    /// The first message that the launcher reads.
    pub(super) setup: serde_json::Value,
    /// Called when a launcher has taken the place of one that died.
    pub(super) replaced: Option<Box<dyn Fn() + Send + Sync>>,
}

impl LauncherConfig {
    /// A launcher with this setup.
    pub(crate) fn new(program: PathBuf, setup: &impl Serialize) -> Result<Self, StartError> {
        let setup = serde_json::to_value(setup).map_err(|e| StartError::Launcher(e.to_string()));
        Ok(Self { program, setup: setup?, replaced: None })
    }

    /// Has `replaced` called whenever a launcher takes the place of one that died.
    #[cfg(target_os = "linux")]
    pub(crate) fn on_replacement(self, replaced: impl Fn() + Send + Sync + 'static) -> Self {
        Self { replaced: Some(Box::new(replaced)), ..self }
    }
}
