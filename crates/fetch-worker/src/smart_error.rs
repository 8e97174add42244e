//! Why a repository could not be read over git's smart HTTP.

use std::io;

use super::budget::{OverBudget, over_budget};
use super::http::HttpError;

/// Why a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmartError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(
        "no git repository was found (HTTP status {0}); private repositories are not supported"
    )]
    NoRepository(u16),
    #[error("the git host failed (HTTP status {0}); try again later")]
    Host(u16),
    #[error("the repository does not have the commit: {0}")]
    NoCommit(String),
    #[error("the git host violated the protocol: {0}")]
    Protocol(&'static str),
    #[error("the git host serves only commits that a branch or tag points to: {0}")]
    Unadvertised(String),
    #[error("the git host refused the request: {0}")]
    Refused(String),
    #[error("the connection to the git host broke: {0}")]
    Broken(#[source] io::Error),
    #[error("the pack is corrupt: {0}")]
    Pack(#[source] git2::Error),
    #[error(transparent)]
    Budget(#[from] OverBudget),
}

impl From<io::Error> for SmartError {
    fn from(error: io::Error) -> Self {
        match over_budget(&error) {
            Some(over) => Self::Budget(over),
            None => Self::Broken(error),
        }
    }
}

/// The error for a message of the git host.
pub(super) fn refusal(message: &str) -> SmartError {
    let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    if message.contains("not our ref") || message.contains("no such remote ref") {
        SmartError::NoCommit(message)
    } else if message.starts_with("want ") && message.contains("not valid") {
        SmartError::Unadvertised(message)
    } else {
        SmartError::Refused(message)
    }
}
