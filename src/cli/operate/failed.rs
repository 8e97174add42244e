//! Why a subcommand that asks a running server failed.

use std::process::ExitCode;

use server::config::ConfigError;

use crate::cli::operate::client::AskError;
use crate::cli::operate::local::NoServer;
use crate::cli::operate::server::BadServer;
use crate::cli::operate::token::NoToken;
use crate::cli::process::complain;
use crate::cli::settings::config_status;
use crate::cli::status;

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("SKY_ISLAND_SERVER in the environment")]
    Variable(#[source] BadServer),
    #[error("admin_token_header: {0:?} is not the name of a header; use letters, digits and -")]
    Header(String),
    #[error(transparent)]
    Server(#[from] NoServer),
    #[error(transparent)]
    Token(#[from] NoToken),
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The beginning of an id that several entries have.
    #[error(
        "{0:?} is the beginning of {1} ids in the caches; give more of the id (`sky-island cache --json` prints whole ids)"
    )]
    Ambiguous(String, usize),
}

impl Failed {
    /// Prints the failure. The exit status says which side is at fault.
    pub(super) fn exit(&self) -> ExitCode {
        if let Self::Config(error) = self {
            return config_status(error);
        }
        complain(self);
        ExitCode::from(match self {
            Self::Ask(AskError::Refused { status, .. }) => *status,
            Self::Server(_) | Self::Ask(AskError::Silent { .. } | AskError::Foreign { .. }) => {
                status::SERVER
            }
            Self::Token(error) if error.is_of_host() => status::SERVER,
            _ => status::USAGE,
        })
    }
}
