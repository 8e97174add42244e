//! What calls may use and how long they may wait: fixed sizes, and what can change while the server runs.

use std::time::Duration;

use island::Limits;

/// What can be changed while there are calls. A call keeps the policy that it began with.
#[derive(Clone, Debug)]
pub struct CallPolicy {
    /// The limits of a function's island.
    pub limits: Limits,
    /// How long a call waits for an execution slot (`limits.queue_wait`).
    pub queue_wait: Duration,
    /// The overall time limit of a call, from its admission to its answer (`limits.call_timeout`).
    pub timeout: Duration,
}

/// How many calls there may be.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// In the server at once, waiting or not (`limits.calls`).
    pub calls: usize,
    /// Running at once (`limits.concurrency`).
    pub running: usize,
}
