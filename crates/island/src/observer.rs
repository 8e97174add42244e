//! The events that metrics count. This crate does not know the metrics.

use std::time::Duration;

/// What an island is for, as the metrics count islands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Fetching a source.
    Fetch,
    /// Compiling.
    Build,
    /// Running a function.
    Function,
}

/// Why an island was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// The deadline passed.
    Deadline,
    /// The output exceeded its limit.
    Output,
    /// The files exceeded their limit.
    Disk,
    /// The island still ran after its answer.
    Late,
    /// An operator killed it.
    Operator,
    /// The task that waited for it was dropped, a warm island was no longer needed, or the server
    /// stops.
    Dropped,
}

/// Hears what happens to islands. The methods run where the event happens, so they must not block.
pub trait Observer: Send + Sync {
    /// An island was started, which took this long.
    fn created(&self, kind: Kind, took: Duration);
    /// An island was killed; at most once for each island.
    fn killed(&self, reason: KillReason);
    /// An island has ended. `teardown` is the time since its answer or since the kill; none where
    /// the island ended by itself.
    fn removed(&self, kind: Kind, teardown: Option<Duration>);
    /// A call of a function found a warm island, or did not.
    fn warm_lookup(&self, found: bool);
}

/// Counts nothing.
impl Observer for () {
    fn created(&self, _: Kind, _: Duration) {}
    fn killed(&self, _: KillReason) {}
    fn removed(&self, _: Kind, _: Option<Duration>) {}
    fn warm_lookup(&self, _: bool) {}
}
