//! What the janitor attempts: the teardown of one thing, step by step.

use std::error::Error;
use std::time::Duration;

use crate::backend::BoxFuture;

/// Something that the janitor attempts until it succeeds.
pub trait TeardownStep: Send + 'static {
    /// Goes on from where the last attempt got to. The janitor may drop the future at any `.await`, and then attempts
    /// the step again.
    fn attempt(&mut self) -> BoxFuture<'_, Result<(), StepFailed>>;
}

/// Why an attempt did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StepFailed {
    /// A part of the teardown failed.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
    /// The attempt took too long.
    #[error("the attempt did not end within {0:?}")]
    Late(Duration),
    /// The attempt panicked.
    #[error("the attempt panicked")]
    Panicked,
}

impl StepFailed {
    /// A failure with its causes.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }
}
