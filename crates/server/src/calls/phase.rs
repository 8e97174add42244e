//! How far the server is on its way to its end. It goes one way only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

/// The steps after serving, which is 0.
const LEAVING: u8 = 1;
const DRAINING: u8 = 2;

/// Where the server is on its way. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Phase(Arc<Way>);

/// Behind one pointer, for each call has one, and a token locks to be cloned.
#[derive(Debug, Default)]
struct Way {
    step: AtomicU8,
    force: CancellationToken,
}

impl Phase {
    /// From now on each connection ends with its next answer. Calls are still run: somebody takes over who gets whatever
    /// comes after.
    pub fn leave(&self) {
        self.0.step.fetch_max(LEAVING, Ordering::SeqCst);
    }

    /// From now on there are no new calls, each connection ends with its next answer, and health is bad.
    pub fn drain(&self) {
        self.0.step.fetch_max(DRAINING, Ordering::SeqCst);
    }

    /// Calls under way end now, without their answers.
    pub fn force(&self) {
        self.drain();
        self.0.force.cancel();
    }

    /// Whether there are no new calls.
    pub fn is_draining(&self) -> bool {
        self.0.step.load(Ordering::SeqCst) >= DRAINING
    }

    /// Whether a connection ends with its next answer.
    pub fn is_ending(&self) -> bool {
        self.0.step.load(Ordering::Relaxed) >= LEAVING
    }

    /// Resolves when calls under way are to end.
    pub async fn forced(&self) {
        self.0.force.cancelled().await;
    }

    /// What comes of a call, or none when it has to end before.
    pub(super) async fn unless_forced<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        self.0.force.run_until_cancelled(call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_one_way() {
        let phase = Phase::default();
        assert!(!phase.is_ending() && !phase.is_draining());
        phase.leave();
        assert!(phase.is_ending() && !phase.is_draining());
        phase.drain();
        assert!(phase.is_ending() && phase.is_draining());
        phase.leave();
        assert!(phase.is_draining());
    }

    #[tokio::test]
    async fn a_call_under_way_ends_in_a_hurry() {
        let phase = Phase::default();
        assert_eq!(phase.unless_forced(async { 1 }).await, Some(1));
        let call = phase.unless_forced(std::future::pending::<()>());
        let force = async { phase.force() };
        assert_eq!(tokio::join!(call, force).0, None);
        assert!(phase.is_draining());
    }
}
