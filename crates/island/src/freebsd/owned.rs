//! The resources of the islands that callers own, from the first step of their making until they go
//! to the janitor.
//!
//! Invariants: until nothing is left of an island, its resources have an owner or are with the
//! janitor; after the close no island is added.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use host::net::Lease;
use tokio::sync::watch;

use crate::backend::{Exit, StartError};
use crate::freebsd::host::Host;
use crate::freebsd::janitor::Janitor;
use crate::freebsd::plan::IslandPlan;
use crate::freebsd::reason::refused;
use crate::freebsd::resources::JailResources;
use crate::id::IslandId;
use crate::spec::Resources;

/// The islands that callers own.
pub(super) struct ResourceOwners {
    host: Arc<Host>,
    janitor: Arc<Janitor<IslandId>>,
    owned: watch::Sender<OwnedIslands>,
}

#[derive(Default)]
struct OwnedIslands {
    closed: bool,
    ids: BTreeSet<IslandId>,
}

/// The resources of an island that a caller owns. When the value is dropped they go to the janitor.
pub(super) struct OwnedResources {
    resources: Option<JailResources>,
    all: Arc<ResourceOwners>,
}

impl ResourceOwners {
    pub(super) fn new(host: Arc<Host>, janitor: Arc<Janitor<IslandId>>) -> Arc<Self> {
        Arc::new(Self { host, janitor, owned: watch::Sender::default() })
    }

    /// Adds the resources of an island, unless the backend is closed.
    pub(super) fn hold(
        self: &Arc<Self>,
        resources: JailResources,
    ) -> Result<OwnedResources, StartError> {
        let id = resources.id.clone();
        if !self.owned.send_if_modified(|owned| !owned.closed && owned.ids.insert(id)) {
            return Err(StartError::Launcher("the server is stopping".into()));
        }
        Ok(OwnedResources { resources: Some(resources), all: self.clone() })
    }

    /// The islands that callers own.
    pub(super) fn list(&self) -> Vec<IslandId> {
        self.owned.borrow().ids.iter().cloned().collect()
    }

    /// Refuses all further islands.
    pub(super) fn close(&self) {
        self.owned.send_modify(|owned| owned.closed = true);
    }

    /// Resolves when the janitor has the resources of all islands.
    pub(super) async fn empty(&self) {
        // The sender lives as long as `self`, so this is no error.
        let _ = self.owned.subscribe().wait_for(|owned| owned.ids.is_empty()).await;
    }
}

impl OwnedResources {
    /// Makes the island up to the moment when its first process waits for a program, and returns
    /// the socket for the program.
    pub(super) async fn make(
        mut self,
        plan: IslandPlan,
        limits: Resources,
        user: u32,
        lease: Option<Arc<Lease>>,
    ) -> Result<(Self, OwnedFd), StartError> {
        let host = self.all.host.clone();
        let control = host.make(&plan, &limits, user, lease, self.resources()?).await?;
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&control, flags).map_err(|e| StartError::Descriptors(e.into()))?;
        Ok((self, control))
    }

    /// Waits for the exit of the island.
    pub(super) async fn end(&mut self) -> Result<Exit, StartError> {
        self.resources()?.end().await
    }

    fn resources(&mut self) -> Result<&mut JailResources, StartError> {
        self.resources
            .as_mut()
            .ok_or_else(|| refused("the resources of the island went to the janitor"))
    }
}

impl Drop for OwnedResources {
    fn drop(&mut self) {
        let Some(resources) = self.resources.take() else { return };
        let id = resources.id.clone();
        self.all.janitor.give(id.clone(), resources.step(self.all.host.clone()));
        self.all.owned.send_modify(|owned| {
            owned.ids.remove(&id);
        });
    }
}
