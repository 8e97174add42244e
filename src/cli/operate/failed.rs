//! Why a subcommand of a running server failed.

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
    #[error("admin_token_header: {0:?} is no name of a header")]
    Header(String),
    #[error(transparent)]
    Server(#[from] NoServer),
    #[error(transparent)]
    Token(#[from] NoToken),
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The beginning of an id that several entries have.
    #[error(
        "{0} is the beginning of {1} ids in the caches; give more of it, or all as `sky-island cache --json` has it"
    )]
    Ambiguous(String, usize),
}

impl Failed {
    /// Says what is wrong, and whose fault that is.
    pub(super) fn exit(&self) -> ExitCode {
        if let Self::Config(error) = self {
            return config_status(error);
        }
        complain(self);
        ExitCode::from(match self {
            Self::Ask(AskError::Refused { status, .. }) => *status,
            Self::Server(_) | Self::Ask(AskError::Silent { .. } | AskError::Foreign { .. }) => {
                status::OURS
            }
            Self::Token(error) if error.is_hosts() => status::OURS,
            _ => status::USAGE,
        })
    }
}
