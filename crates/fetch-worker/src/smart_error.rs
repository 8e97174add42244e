//! Why a repository could not be read over git's smart HTTP.

use std::io;

use super::budget::{OverBudget, over_budget};
use super::http::HttpError;

/// Why a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmartError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("there is no git repository (HTTP status {0})")]
    NoRepository(u16),
    #[error("its host failed (HTTP status {0})")]
    Host(u16),
    #[error("it does not have that commit: {0}")]
    NoCommit(String),
    #[error("it answered against git's protocol: {0}")]
    Protocol(&'static str),
    #[error("it gives no commit that no name points to: {0}")]
    Unadvertised(String),
    #[error("it refused: {0}")]
    Refused(String),
    #[error("the connection broke off: {0}")]
    Broken(#[source] io::Error),
    #[error("its pack is broken: {0}")]
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

/// What an error of the server means.
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
