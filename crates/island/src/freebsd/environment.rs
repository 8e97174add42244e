//! The host that the backend runs on, or a model of one.
//!
//! Invariants: the backend reaches the host only through the launcher and through this.

use std::sync::Arc;

use host::exec::Shared;

use crate::freebsd::storage::{self, Open};
use crate::freebsd::usage::{self, Counters};

/// A host as the backend sees it.
#[derive(Clone)]
pub struct HostEnvironment {
    /// Runs the host's commands.
    pub exec: Shared,
    /// Whether the server is root on the host.
    pub root: bool,
    /// Opens the folder of a clone. A folder without a mounted clone is an error.
    pub open: Open,
    /// Answers what a jail's processes use.
    pub counters: Counters,
}

impl HostEnvironment {
    /// The host that this process runs on.
    pub fn host() -> Self {
        let root = nix::unistd::geteuid().is_root();
        let open = storage::open_mounted;
        Self { exec: Arc::new(host::exec::Host), root, open, counters: usage::of_kernel() }
    }
}
