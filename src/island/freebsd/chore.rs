//! What is to be given back: an estate of steps, done in their order, none twice.

use std::collections::VecDeque;
use std::error::Error;
use std::future::Future;

use crate::island::backend::BoxFuture;

/// Something that is attempted until it succeeds.
pub trait Chore: Send + 'static {
    /// Goes on from where the last attempt got to. It may be dropped at any `.await`, and is then attempted again.
    fn attempt(&mut self) -> BoxFuture<'_, Result<(), Failed>>;
}

/// Why an attempt did not succeed, in words for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

impl Failed {
    /// In these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// A step's error with its causes.
    fn of(what: &str, error: &dyn Error) -> Self {
        let mut words = format!("{what}: {error}");
        let mut next = error.source();
        while let Some(cause) = next {
            words = format!("{words}: {cause}");
            next = cause.source();
        }
        Self(words)
    }
}

/// What one island leaves: steps in the order in which they are to be undone. A step is attempted when those before it
/// are done. Each must be able to meet its own work half done, or done.
#[derive(Default)]
pub struct Estate {
    steps: VecDeque<Step>,
}

type Step = Box<dyn FnMut() -> BoxFuture<'static, Result<(), Failed>> + Send>;

impl Estate {
    /// One without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more step after the others. `what` names it in a failure: `destroying its dataset`.
    #[must_use]
    pub fn then<F, E>(
        mut self,
        what: &'static str,
        mut attempt: impl FnMut() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Error,
    {
        self.steps.push_back(Box::new(move || {
            let attempt = attempt();
            Box::pin(async move { attempt.await.map_err(|error| Failed::of(what, &error)) })
        }));
        self
    }

    /// With something held until the steps before are done, a lease for example, and dropped then.
    #[must_use]
    pub fn then_drop(self, held: impl Send + 'static) -> Self {
        let mut held = Some(held);
        self.then("letting go", move || {
            drop(held.take());
            std::future::ready(Ok::<(), Failed>(()))
        })
    }
}

impl Chore for Estate {
    fn attempt(&mut self) -> BoxFuture<'_, Result<(), Failed>> {
        Box::pin(async move {
            while let Some(step) = self.steps.front_mut() {
                step().await?;
                self.steps.pop_front();
            }
            Ok(())
        })
    }
}
