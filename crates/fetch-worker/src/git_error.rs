//! Why git gave no checkout, and whose fault that is.

use std::io;

use fetch_job::FailureCode;

use super::http::HttpError;
use super::local::LocalError;
use super::locate::LocateError;
use super::smart_error::SmartError;
use super::tree::TreeError;
use super::vanity::VanityError;

/// Why git gave no checkout.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("no git repository at {0}")]
    NoRepository(String),
    #[error("the repository of {path} cannot be looked up: {source}")]
    Lookup { path: String, source: HttpError },
    #[error(
        "the repository of {path} cannot be looked up: the host answered with HTTP status {status}"
    )]
    LookupStatus { path: String, status: u16 },
    #[error("{path} names no git repository: {source}")]
    Vanity { path: String, source: VanityError },
    #[error("{at}: {source}")]
    Smart { at: String, source: SmartError },
    #[error("{at}: {source}")]
    Local { at: String, source: LocalError },
    #[error("{at} has no {version}")]
    Version { at: String, version: String },
    #[error("{at}: {source}")]
    Tree { at: String, source: TreeError },
    #[error("a scratch repository cannot be created: {0}")]
    Scratch(#[source] io::Error),
    #[error("a scratch repository cannot be used: {0}")]
    ScratchGit(#[from] git2::Error),
}

impl GitError {
    pub(super) fn code(&self) -> FailureCode {
        match self {
            Self::Locate(LocateError::Mirror(_)) => FailureCode::Internal,
            Self::Locate(_) | Self::NoRepository(_) | Self::Vanity { .. } => {
                FailureCode::Repository
            }
            Self::Version { .. } => FailureCode::Version,
            Self::Lookup { source: HttpError::Budget(_), .. } => FailureCode::TooLarge,
            Self::Lookup { .. } | Self::LookupStatus { .. } => FailureCode::Unreachable,
            Self::Smart { source, .. } => match source {
                SmartError::NoRepository(_) => FailureCode::Repository,
                SmartError::NoCommit(_) | SmartError::Unadvertised(_) => FailureCode::Version,
                SmartError::Budget(_) | SmartError::Http(HttpError::Budget(_)) => {
                    FailureCode::TooLarge
                }
                _ => FailureCode::Unreachable,
            },
            Self::Tree { source: TreeError::Budget(_), .. } => FailureCode::TooLarge,
            Self::Tree { source: TreeError::Write(_), .. } => FailureCode::Internal,
            Self::Tree { .. } | Self::Local { .. } => FailureCode::Unreachable,
            Self::Scratch(_) | Self::ScratchGit(_) => FailureCode::Internal,
        }
    }
}
