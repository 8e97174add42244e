//! How long and how often: the short form is a part of `make test`, the full one is `make torture`.

use std::time::Duration;

/// The numbers of a run.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) struct Plan {
    pub name: &'static str,
    /// Fuzzing, all targets together; none in the short form, whose corpora are a test of their own.
    pub fuzzing: Option<Duration>,
    /// Times that the server is killed.
    pub kills: usize,
    /// The longest that a server works before it is killed.
    pub work: Duration,
    /// The most descriptors beyond those of a server at rest at which a run is tried, and the step
    /// from one number to the next.
    pub descriptors: usize,
    pub step: usize,
    /// Bytes that are left free on the disk, one round each.
    pub room: &'static [u64],
    /// Times that a server hands over to a new one.
    pub hand_overs: usize,
    /// How long the soak is.
    pub soak: Duration,
}

const SHORT: Plan = Plan {
    name: "short",
    fuzzing: None,
    kills: 8,
    work: Duration::from_millis(1000),
    descriptors: 24,
    step: 6,
    room: &[0],
    hand_overs: 5,
    soak: Duration::from_secs(15),
};

const FULL: Plan = Plan {
    name: "full",
    fuzzing: Some(Duration::from_secs(600)),
    kills: 200,
    work: Duration::from_millis(1500),
    descriptors: 40,
    step: 1,
    room: &[0, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20],
    hand_overs: 50,
    soak: Duration::from_secs(180),
};

impl Plan {
    /// The form that `SKY_ISLAND_TORTURE` names.
    pub(crate) fn of_environment() -> Self {
        match std::env::var("SKY_ISLAND_TORTURE").as_deref() {
            Ok("full") => FULL,
            Ok("short" | "") | Err(_) => SHORT,
            Ok(other) => panic!("SKY_ISLAND_TORTURE={other}: set short or full"),
        }
    }
}
