//! What counts islands: the seam to the server's metrics, which this crate does not know.

use std::time::Duration;

/// What an island is for, as numbers tell islands apart.
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
    /// Its deadline passed.
    Deadline,
    /// Its output exceeded the limit.
    Output,
    /// Its files exceeded the limit.
    Disk,
    /// It was still running after its answer.
    Late,
    /// An operator killed it.
    Operator,
    /// The task that waited for it was dropped, a warm island was no longer needed, or the server stops.
    Dropped,
}

/// Is told what happens to islands. The methods are called where the event happens, so they must not block.
pub trait Observer: Send + Sync {
    /// An island was given something to do, which took this long.
    fn created(&self, kind: Kind, took: Duration);
    /// An island was killed; at most once for each island.
    fn killed(&self, reason: KillReason);
    /// An island's end was seen. `teardown` is the time since its answer or since it was killed; none where the island
    /// ended by itself.
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
