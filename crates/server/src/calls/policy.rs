//! The limits of calls: a policy that can change while the server runs, and a capacity that cannot.

use std::time::Duration;

use common::fair::Shares;
use island::Limits;

/// Limits that can change while the server runs. A call keeps the policy that it began with.
#[derive(Clone, Debug)]
pub struct CallPolicy {
    /// The limits of a function's island.
    pub limits: Limits,
    /// How long a call waits for an execution slot (`limits.queue_wait`).
    pub queue_wait: Duration,
    /// The overall time limit of a call, from its admission to its answer (`limits.call_timeout`).
    pub timeout: Duration,
}

/// How many calls the server takes, and how many of them from one client
/// (`limits.per_client`).
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Calls in the server at once, running or waiting (`limits.calls`).
    pub calls: Shares,
    /// Functions that run at once (`limits.concurrency`).
    pub running: Shares,
}
