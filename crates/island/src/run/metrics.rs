//! The events of one island: its start, why it was killed, and its end.
//!
//! Invariants: each event is reported at most once, and an island that was reported as created is
//! reported as removed, however it ends.

use std::sync::Arc;
use std::time::Duration;

use crate::observer::{KillReason, Kind, Observer};
use crate::spec::{Purpose, Rights, Spec};

pub(crate) struct IslandMetrics {
    observer: Arc<dyn Observer>,
    kind: Kind,
    killed: bool,
    gone: bool,
}

impl IslandMetrics {
    /// Reports an island that was started, which took this long.
    pub(crate) fn begin(observer: Arc<dyn Observer>, spec: &Spec, took: Duration) -> Self {
        let kind = match &spec.setup.rights {
            Rights::Function => Kind::Function,
            Rights::Tool(tool) => match tool.purpose {
                Purpose::Fetch => Kind::Fetch,
                Purpose::Build => Kind::Build,
            },
        };
        observer.created(kind, took);
        Self { observer, kind, killed: false, gone: false }
    }

    pub(crate) fn killed(&mut self, why: KillReason) {
        if !std::mem::replace(&mut self.killed, true) {
            self.observer.killed(why);
        }
    }

    /// The island has ended, this long after its answer or the kill.
    pub(crate) fn gone(&mut self, teardown: Option<Duration>) {
        if !std::mem::replace(&mut self.gone, true) {
            self.observer.removed(self.kind, teardown);
        }
    }
}

impl Drop for IslandMetrics {
    fn drop(&mut self) {
        if !self.gone {
            self.killed(KillReason::Dropped);
            self.gone(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Bounds, Limits, Resources};
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Events(Mutex<Vec<String>>);

    impl Observer for Events {
        fn created(&self, kind: Kind, _: Duration) {
            self.0.lock().push(format!("created {kind:?}"));
        }
        fn killed(&self, reason: KillReason) {
            self.0.lock().push(format!("killed {reason:?}"));
        }
        fn removed(&self, kind: Kind, teardown: Option<Duration>) {
            self.0.lock().push(format!("removed {kind:?} {teardown:?}"));
        }
        fn warm_lookup(&self, _: bool) {}
    }

    fn begin(seen: &Arc<Events>) -> IslandMetrics {
        let (processor_time, disk) = (None, None);
        let resources = Resources { memory: 1, processes: 1, processor_time, tmp: 1, disk };
        let bounds = Bounds { deadline: Duration::from_secs(1), output: 1 };
        let limits = Limits { resources, bounds };
        let program = Arc::new(std::fs::File::open("/dev/null").unwrap());
        let spec = Spec::function(program, limits);
        IslandMetrics::begin(seen.clone(), &spec, Duration::from_millis(1))
    }

    #[test]
    fn an_island_that_ended_is_created_and_removed_once() {
        let seen = Arc::default();
        let mut metrics = begin(&seen);
        metrics.gone(Some(Duration::from_millis(2)));
        metrics.gone(None);
        drop(metrics);
        assert_eq!(*seen.0.lock(), ["created Function", "removed Function Some(2ms)"]);
    }

    #[test]
    fn an_island_is_killed_for_one_reason() {
        let seen = Arc::default();
        let mut metrics = begin(&seen);
        metrics.killed(KillReason::Deadline);
        // The system did not confirm the end in time, so the island is killed again.
        drop(metrics);
        assert_eq!(
            *seen.0.lock(),
            ["created Function", "killed Deadline", "removed Function None"]
        );
    }

    #[test]
    fn an_island_that_is_dropped_is_killed_and_removed() {
        let seen = Arc::default();
        drop(begin(&seen));
        assert_eq!(*seen.0.lock(), ["created Function", "killed Dropped", "removed Function None"]);
    }
}
