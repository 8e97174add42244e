//! The islands in somebody's hands: from the first step of their making until they are the janitor's.
//!
//! What must always hold: an island is in here or with the janitor, and never in neither, until nothing is left of it;
//! once closed, no further one comes in.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use host::net::Lease;
use tokio::sync::watch;

use super::super::{Exit, IslandId, Limits, StartError};
use super::estate::Estate;
use super::host::{Host, refused};
use super::janitor::Janitor;
use super::plan::Plan;

/// All of them.
pub(super) struct Holdings {
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
pub(super) struct Holding {
    estate: Option<Estate>,
    all: Arc<Holdings>,
}

impl Holdings {
    pub(super) fn new(host: Arc<Host>, janitor: Arc<Janitor<IslandId>>) -> Arc<Self> {
        Arc::new(Self { host, janitor, held: watch::Sender::default() })
    }

    /// Takes an estate in, unless no further one may come.
    pub(super) fn hold(self: &Arc<Self>, estate: Estate) -> Result<Holding, StartError> {
        let id = estate.id.clone();
        if !self.held.send_if_modified(|held| !held.closed && held.ids.insert(id)) {
            return Err(StartError::Launcher("it is closed".into()));
        }
        Ok(Holding { estate: Some(estate), all: self.clone() })
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

impl Holding {
    /// Makes the island up to the moment when it waits to be told what to become, and gives the socket for that.
    pub(super) async fn make(
        mut self,
        plan: Plan,
        limits: Limits,
        user: u32,
        lease: Option<Arc<Lease>>,
    ) -> Result<(Self, OwnedFd), StartError> {
        let host = self.all.host.clone();
        let control = host.make(&plan, &limits, user, lease, self.estate()?).await?;
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&control, flags).map_err(|e| StartError::Descriptors(e.into()))?;
        Ok((self, control))
    }

    /// Waits for the end of the island.
    pub(super) async fn end(&mut self) -> Result<Exit, StartError> {
        self.estate()?.end().await
    }

    fn estate(&mut self) -> Result<&mut Estate, StartError> {
        self.estate.as_mut().ok_or_else(|| refused("its estate was given away"))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let Some(estate) = self.estate.take() else { return };
        let id = estate.id.clone();
        self.all.janitor.give(id.clone(), estate.chore(self.all.host.clone()));
        self.all.held.send_modify(|held| {
            held.ids.remove(&id);
        });
    }
}
