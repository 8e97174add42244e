//! The trace of a call: the time of each stage, the revision that ran, and the kind of island.

use std::time::Duration;

use crate::calls::stage::Stage;
use crate::source::Revision;

/// The time that a call spent in each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Waiting for an execution slot.
    pub queue: Duration,
    /// Finding the source.
    pub fetch: Duration,
    /// Finding the artifact.
    pub build: Duration,
    /// Finding an address and an island, and sending the program to the island.
    pub start: Duration,
    /// From sending the program to its answer, or to the end of the island.
    pub run: Duration,
}

/// The trace of a call, as far as the call got.
#[derive(Clone, Debug, Default)]
pub struct CallTrace {
    /// The times of its stages.
    pub times: Times,
    /// The revision that its version means, once that is known.
    pub revision: Option<Revision>,
    /// Whether the call ran on a warm island.
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
