//! What the backend stands on: the host that it runs on, or a model of one.
//!
//! What must always hold: whatever of a host is not reached through the launcher is reached through this.

use std::sync::Arc;

use host::exec::Shared;

use crate::freebsd::storage;
use crate::freebsd::storage::folder::Open;

/// A host as the backend sees it.
#[derive(Clone)]
pub struct HostEnvironment {
    /// Runs its commands.
    pub exec: Shared,
    /// Whether we are root on it.
    pub root: bool,
    /// Opens the folder of a clone, and refuses one that is not mounted there.
    pub open: Open,
}

impl HostEnvironment {
    /// The host that we run on.
    pub fn host() -> Self {
        let root = nix::unistd::geteuid().is_root();
        Self { exec: Arc::new(host::exec::Host), root, open: storage::open_mounted }
    }
}
