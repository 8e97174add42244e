//! What is to be given back, attempt by attempt.

use crate::backend::BoxFuture;

/// Something that is attempted until it succeeds.
pub trait TeardownStep: Send + 'static {
    /// Goes on from where the last attempt got to. It may be dropped at any `.await`, and is then attempted again.
    fn attempt(&mut self) -> BoxFuture<'_, Result<(), StepFailed>>;
}

/// Why an attempt did not succeed, in words for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StepFailed(String);

impl StepFailed {
    /// In these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}
