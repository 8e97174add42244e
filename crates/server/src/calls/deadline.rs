//! The overall deadline of a call, beside the limits of its stages.

use std::future::Future;
use std::time::Duration;

use common::units::Span;
use tokio::time::{Instant, timeout_at};

use crate::calls::code::Code;
use crate::calls::failure::Failure;
use crate::calls::stage::Stage;

/// The moment by which a call must have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    /// The overall time limit, which messages name.
    limit: Duration,
}

impl Deadline {
    /// The deadline of a call that begins now.
    pub(super) fn after(limit: Duration) -> Self {
        let now = Instant::now();
        // A limit beyond the range of the clock never passes.
        let far = now + Duration::from_secs(365 * 24 * 3600);
        Self { at: now.checked_add(limit).unwrap_or(far), limit }
    }

    /// The time that is left.
    #[cfg(test)]
    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Runs a step of a stage. When the deadline passes, the step is dropped and the call fails.
    pub(super) async fn bound<T>(
        self,
        stage: Stage,
        step: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        timeout_at(self.at, step).await.map_err(|_| self.failure(stage))
    }

    /// The failure of a call whose deadline passed in this stage.
    pub(super) fn failure(self, stage: Stage) -> Failure {
        let (limit, stage_name) = (Span(self.limit), stage.as_str());
        let detail = format!(
            "the call exceeded its overall time limit of {limit} in stage {stage_name} (limits.call_timeout)"
        );
        Failure::new(Code::Deadline, stage, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_stages_share_one_deadline() {
        let deadline = Deadline::after(Duration::from_secs(10));
        let step = || tokio::time::sleep(Duration::from_secs(6));
        assert!(deadline.bound(Stage::Fetch, step()).await.is_ok());
        assert_eq!(deadline.left(), Duration::from_secs(4));
        let failure = deadline.bound(Stage::Build, step()).await.unwrap_err();
        assert_eq!((failure.code, failure.stage), (Code::Deadline, Stage::Build));
        assert!(
            failure.detail.contains("10 s in stage build (limits.call_timeout)"),
            "{failure:?}"
        );
        assert_eq!(deadline.left(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_beyond_the_range_of_the_clock_never_passes() {
        assert!(Deadline::after(Duration::MAX).left() > Duration::from_secs(1_000_000));
    }
}
