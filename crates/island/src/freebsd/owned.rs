//! The islands in somebody's hands: from the first step of their making until they are the janitor's.
//!
//! What must always hold: an island is in here or with the janitor, and never in neither, until nothing is left of it;
//! once closed, no further one comes in.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use host::net::Lease;
use tokio::sync::watch;

use crate::backend::{Exit, StartError};
use crate::freebsd::host::{Host, refused};
use crate::freebsd::janitor::Janitor;
use crate::freebsd::plan::IslandPlan;
use crate::freebsd::resources::JailResources;
use crate::id::IslandId;
use crate::spec::Limits;

/// All of them.
pub(super) struct ResourceOwners {
    host: Arc<Host>,
    janitor: Arc<Janitor<IslandId>>,
    held: watch::Sender<Held>,
}

#[derive(Default)]
struct Held {
    closed: bool,
    ids: BTreeSet<IslandId>,
}

/// An island's estate in the hands of somebody who uses the island. It goes to the janitor in the end.
pub(super) struct OwnedResources {
    resources: Option<JailResources>,
    all: Arc<ResourceOwners>,
}

impl ResourceOwners {
    pub(super) fn new(host: Arc<Host>, janitor: Arc<Janitor<IslandId>>) -> Arc<Self> {
        Arc::new(Self { host, janitor, held: watch::Sender::default() })
    }

    /// Takes an estate in, unless no further one may come.
    pub(super) fn hold(
        self: &Arc<Self>,
        resources: JailResources,
    ) -> Result<OwnedResources, StartError> {
        let id = resources.id.clone();
        if !self.held.send_if_modified(|held| !held.closed && held.ids.insert(id)) {
            return Err(StartError::Launcher("it is closed".into()));
        }
        Ok(OwnedResources { resources: Some(resources), all: self.clone() })
    }

    /// The islands that are held.
    pub(super) fn list(&self) -> Vec<IslandId> {
        self.held.borrow().ids.iter().cloned().collect()
    }

    /// Lets no further one in.
    pub(super) fn close(&self) {
        self.held.send_modify(|held| held.closed = true);
    }

    /// Resolves when the janitor has them all.
    pub(super) async fn given(&self) {
        // The sender is ours, so it is there.
        let _ = self.held.subscribe().wait_for(|held| held.ids.is_empty()).await;
    }
}

impl OwnedResources {
    /// Makes the island up to the moment when it waits to be told what to become, and gives the socket for that.
    pub(super) async fn make(
        mut self,
        plan: IslandPlan,
        limits: Limits,
        user: u32,
        lease: Option<Arc<Lease>>,
    ) -> Result<(Self, OwnedFd), StartError> {
        let host = self.all.host.clone();
        let control = host.make(&plan, &limits, user, lease, self.resources()?).await?;
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&control, flags).map_err(|e| StartError::Descriptors(e.into()))?;
        Ok((self, control))
    }

    /// Waits for the end of the island.
    pub(super) async fn end(&mut self) -> Result<Exit, StartError> {
        self.resources()?.end().await
    }

    fn resources(&mut self) -> Result<&mut JailResources, StartError> {
        self.resources.as_mut().ok_or_else(|| refused("its estate was given away"))
    }
}

impl Drop for OwnedResources {
    fn drop(&mut self) {
        let Some(resources) = self.resources.take() else { return };
        let id = resources.id.clone();
        self.all.janitor.give(id.clone(), resources.step(self.all.host.clone()));
        self.all.held.send_modify(|held| {
            held.ids.remove(&id);
        });
    }
}
