//! What is counted of one island: that it was given something to do, why it was killed, and that it is gone.
//!
//! What must always hold: each of these is counted once at most, and an island that was counted as created is counted as
//! removed, however it ends.

use std::time::Duration;

use super::{Purpose, Rights, Spec};
use crate::metrics::{self, Killed, Metrics};

pub(super) struct Tally {
    metrics: Metrics,
    purpose: metrics::Purpose,
    killed: bool,
    gone: bool,
}

impl Tally {
    /// Counts an island that was given something to do, which took this long.
    pub(super) fn begin(metrics: Metrics, spec: &Spec, took: Duration) -> Self {
        let purpose = match &spec.rights {
            Rights::Function => metrics::Purpose::Function,
            Rights::Tool(tool) => match tool.purpose {
                Purpose::Fetch => metrics::Purpose::Fetch,
                Purpose::Build => metrics::Purpose::Build,
            },
        };
        metrics.island_created(purpose, took);
        Self { metrics, purpose, killed: false, gone: false }
    }

    pub(super) fn killed(&mut self, why: Killed) {
        if !std::mem::replace(&mut self.killed, true) {
            self.metrics.island_killed(why);
        }
    }

    /// Its end was seen, this long after its answer or its being killed.
    pub(super) fn gone(&mut self, teardown: Option<Duration>) {
        if !std::mem::replace(&mut self.gone, true) {
            self.metrics.island_removed(self.purpose, teardown);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.gone {
            self.killed(Killed::Dropped);
            self.gone(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::island::Limits;
    use std::sync::Arc;

    fn begin(metrics: &Metrics) -> Tally {
        let (deadline, disk) = (Duration::from_secs(1), None);
        let limits = Limits { deadline, memory: 1, processes: 1, output: 1, tmp: 1, disk };
        let program = Arc::new(std::fs::File::open("/dev/null").unwrap());
        let spec = Spec::function(program, limits);
        Tally::begin(metrics.clone(), &spec, Duration::from_millis(1))
    }

    fn shows(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.prometheus();
        for line in lines {
            let line = format!("sky_island_island_{line}");
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn an_island_that_ended_is_created_and_removed_once() {
        let metrics = Metrics::default();
        let mut tally = begin(&metrics);
        tally.gone(Some(Duration::from_millis(2)));
        tally.gone(None);
        drop(tally);
        shows(
            &metrics,
            &[
                "created_total{purpose=\"function\"} 1",
                "create_seconds_count{purpose=\"function\"} 1",
                "removed_total{purpose=\"function\"} 1",
                "teardown_seconds_count{purpose=\"function\"} 1",
                "killed_total{reason=\"dropped\"} 0",
            ],
        );
    }

    #[test]
    fn an_island_is_killed_for_one_reason() {
        let metrics = Metrics::default();
        let mut tally = begin(&metrics);
        tally.killed(Killed::Deadline);
        // Its end was not confirmed in time, so it is killed again.
        drop(tally);
        shows(
            &metrics,
            &[
                "killed_total{reason=\"deadline\"} 1",
                "killed_total{reason=\"dropped\"} 0",
                "removed_total{purpose=\"function\"} 1",
                "teardown_seconds_count{purpose=\"function\"} 0",
            ],
        );
    }

    #[test]
    fn an_island_that_nobody_waits_for_is_killed_and_removed() {
        let metrics = Metrics::default();
        drop(begin(&metrics));
        let lines = ["killed_total{reason=\"dropped\"} 1", "removed_total{purpose=\"function\"} 1"];
        shows(&metrics, &lines);
    }
}
