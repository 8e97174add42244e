//! How a call went: where its time went, which revision ran, and on what kind of island.

use std::time::Duration;

use crate::calls::stage::Stage;
use crate::source::Revision;

/// Where a call's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Waiting for an execution slot.
    pub queue: Duration,
    /// Finding the source, or waiting for it.
    pub fetch: Duration,
    /// Finding the artifact, or waiting for it.
    pub build: Duration,
    /// Finding an address and an island, and sending the program to the island.
    pub start: Duration,
    /// From then until the program answered, or the island ended.
    pub run: Duration,
}

/// How a call went, as far as it got.
#[derive(Clone, Debug, Default)]
pub struct CallTrace {
    /// Where its time went.
    pub times: Times,
    /// What its version means, as soon as that is known.
    pub revision: Option<Revision>,
    /// Whether it ran on a warm island.
    pub warm: bool,
}

impl Times {
    /// The stages and their times, in order.
    pub fn stages(&self) -> [(Stage, Duration); 5] {
        [
            (Stage::Queue, self.queue),
            (Stage::Fetch, self.fetch),
            (Stage::Build, self.build),
            (Stage::Start, self.start),
            (Stage::Run, self.run),
        ]
    }
}
