//! What is counted of one island: that it was given something to do, why it was killed, and that it is gone.
//!
//! What must always hold: each of these is counted once at most, and an island that was counted as created is counted as
//! removed, however it ends.

use std::sync::Arc;
use std::time::Duration;

use super::observer::{KillReason, Kind, Observer};
use super::{Purpose, Rights, Spec};

pub(super) struct Tally {
    observer: Arc<dyn Observer>,
    kind: Kind,
    killed: bool,
    gone: bool,
}

impl Tally {
    /// Counts an island that was given something to do, which took this long.
    pub(super) fn begin(observer: Arc<dyn Observer>, spec: &Spec, took: Duration) -> Self {
        let kind = match &spec.rights {
            Rights::Function => Kind::Function,
            Rights::Tool(tool) => match tool.purpose {
                Purpose::Fetch => Kind::Fetch,
                Purpose::Build => Kind::Build,
            },
        };
        observer.created(kind, took);
        Self { observer, kind, killed: false, gone: false }
    }

    pub(super) fn killed(&mut self, why: KillReason) {
        if !std::mem::replace(&mut self.killed, true) {
            self.observer.killed(why);
        }
    }

    /// Its end was seen, this long after its answer or its being killed.
    pub(super) fn gone(&mut self, teardown: Option<Duration>) {
        if !std::mem::replace(&mut self.gone, true) {
            self.observer.removed(self.kind, teardown);
        }
    }
}

impl Drop for Tally {
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
    use crate::Limits;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Observer for Seen {
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

    fn begin(seen: &Arc<Seen>) -> Tally {
        let (deadline, disk) = (Duration::from_secs(1), None);
        let limits = Limits { deadline, memory: 1, processes: 1, output: 1, tmp: 1, disk };
        let program = Arc::new(std::fs::File::open("/dev/null").unwrap());
        let spec = Spec::function(program, limits);
        Tally::begin(seen.clone(), &spec, Duration::from_millis(1))
    }

    #[test]
    fn an_island_that_ended_is_created_and_removed_once() {
        let seen = Arc::default();
        let mut tally = begin(&seen);
        tally.gone(Some(Duration::from_millis(2)));
        tally.gone(None);
        drop(tally);
        assert_eq!(*seen.0.lock(), ["created Function", "removed Function Some(2ms)"]);
    }

    #[test]
    fn an_island_is_killed_for_one_reason() {
        let seen = Arc::default();
        let mut tally = begin(&seen);
        tally.killed(KillReason::Deadline);
        // Its end was not confirmed in time, so it is killed again.
        drop(tally);
        assert_eq!(
            *seen.0.lock(),
            ["created Function", "killed Deadline", "removed Function None"]
        );
    }

    #[test]
    fn an_island_that_nobody_waits_for_is_killed_and_removed() {
        let seen = Arc::default();
        drop(begin(&seen));
        assert_eq!(*seen.0.lock(), ["created Function", "killed Dropped", "removed Function None"]);
    }
}
