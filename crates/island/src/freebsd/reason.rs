//! Errors of this backend as the reasons that the seam knows.

use common::causes::chain;

use crate::backend::StartError;

/// An error with its causes, as the reason why this host makes no islands.
pub(super) fn unsupported(error: impl std::error::Error) -> StartError {
    StartError::Unsupported(chain(&error))
}

/// An error with its causes, as the reason why an island cannot be made.
pub(super) fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    StartError::Refused(chain(&*error.into()))
}
