//! The phase of a server: serving, leaving, draining. A phase never goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

/// The phases after serving, which is 0.
const LEAVING: u8 = 1;
const DRAINING: u8 = 2;

/// The phase of a server. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Phase(Arc<PhaseParts>);

/// Behind one pointer: each call clones the phase, and cloning a token takes a lock.
#[derive(Debug, Default)]
struct PhaseParts {
    step: AtomicU8,
    force: CancellationToken,
}

impl Phase {
    /// From now on each connection ends with its next answer. Calls still run: another program
    /// takes over the connections that come later.
    pub fn leave(&self) {
        self.0.step.fetch_max(LEAVING, Ordering::SeqCst);
    }

    /// From now on new calls are refused, each connection ends with its next answer, and the health
    /// check fails.
    pub fn drain(&self) {
        self.0.step.fetch_max(DRAINING, Ordering::SeqCst);
    }

    /// Ends the running calls now, without their answers.
    pub fn force(&self) {
        self.drain();
        self.0.force.cancel();
    }

    /// Whether new calls are refused.
    pub fn is_draining(&self) -> bool {
        self.0.step.load(Ordering::SeqCst) >= DRAINING
    }

    /// Whether a connection ends with its next answer.
    pub fn is_ending(&self) -> bool {
        self.0.step.load(Ordering::Relaxed) >= LEAVING
    }

    /// Resolves when running calls are forced to end.
    pub async fn forced(&self) {
        self.0.force.cancelled().await;
    }

    /// The result of a call; none if the call is forced to end first.
    pub(super) async fn unless_forced<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        self.0.force.run_until_cancelled(call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_never_goes_back() {
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
    async fn force_ends_a_running_call() {
        let phase = Phase::default();
        assert_eq!(phase.unless_forced(async { 1 }).await, Some(1));
        let call = phase.unless_forced(std::future::pending::<()>());
        let force = async { phase.force() };
        assert_eq!(tokio::join!(call, force).0, None);
        assert!(phase.is_draining());
    }
}
