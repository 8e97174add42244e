//! The configuration of a subcommand.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use server::config::{Config, ConfigError, Inputs, Settings};

use crate::cli::process::{complain, say};
use crate::cli::status;

#[derive(Args, Default)]
pub(super) struct ConfigArgs {
    /// The configuration file. Without -c, SKY_ISLAND_CONFIG names the file, or no file is read.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Runs a subcommand with its configuration.
pub(super) fn with_config(path: Option<&Path>, run: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match settings(path) {
        Ok(settings) => run(settings.config().clone()),
        Err(error) => config_status(&error),
    }
}

/// The configuration of a file and the environment.
pub(super) fn settings(path: Option<&Path>) -> Result<Settings, ConfigError> {
    Inputs::of_process(path, Vec::new()).read().inspect(warn)
}

/// Prints the warnings of a configuration.
pub(super) fn warn(settings: &Settings) {
    for warning in settings.warnings() {
        say(format_args!("sky-island: warning: {warning}"));
    }
}

/// Prints the problems of a configuration. The exit status says which side is at fault.
pub(super) fn config_status(error: &ConfigError) -> ExitCode {
    complain(error);
    let unreadable = matches!(error, ConfigError::Read(..));
    ExitCode::from(if unreadable { status::SERVER } else { status::USAGE })
}
