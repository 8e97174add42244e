//! What one island has in the system, from the first step of its making to the last of its end.
//!
//! What must always hold: a step is written down before it is taken, so that what a dropped wait or a failure left is
//! known; it is struck out only when the system says that it is undone. An address goes back to its pool last of all,
//! when not even a dying jail holds it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::causes::chain;
use host::net::{Alias, Lease, alias};
use tokio::sync::oneshot;

use crate::backend::BoxFuture;
use crate::backend::Exit;
use crate::freebsd::host::Host;
use crate::freebsd::mounts::Writing;
use crate::freebsd::teardown::{StepFailed, TeardownStep};
use crate::freebsd::{jails, mounts, rules};
use crate::id::IslandId;
use crate::launcher::uids::Uid;

/// How long the launcher may take to confirm an island's end before the jail is removed by command.
const LAUNCHER_WAIT: Duration = Duration::from_secs(5);

/// What one island has.
pub struct JailResources {
    pub(super) id: IslandId,
    /// The launcher's word on the island's end, while it is still to come.
    pub(super) exit: Option<oneshot::Receiver<Result<Exit, String>>>,
    /// There may be a jail.
    pub(super) jail: bool,
    /// What may be mounted, in the order of mounting.
    pub(super) mounts: Vec<PathBuf>,
    /// There may be rules.
    pub(super) rules: bool,
    /// There may be a root.
    pub(super) root: bool,
    /// The address; its alias may be on the interface.
    pub(super) lease: Option<Arc<Lease>>,
    /// Given up with all the rest.
    pub(super) _user: Option<Uid>,
    /// The folders that it may write; others may as soon as nothing of it runs any more.
    pub(super) writing: Option<Writing>,
}

impl JailResources {
    /// An island that has nothing yet.
    pub(super) fn new(id: IslandId) -> Self {
        Self {
            id,
            exit: None,
            jail: false,
            mounts: Vec::new(),
            rules: false,
            root: false,
            lease: None,
            _user: None,
            writing: None,
        }
    }

    /// An island of an earlier start, of which anything may be left.
    pub(super) fn leftover(id: IslandId, mounts: Vec<PathBuf>, lease: Option<Lease>) -> Self {
        let lease = lease.map(Arc::new);
        Self { jail: true, rules: true, root: true, mounts, lease, ..Self::new(id) }
    }

    /// Undoes what is left to undo, the last made first. To be called again after a failure, which says what was busy.
    pub(super) async fn give_back(&mut self, host: &Host) -> Result<(), String> {
        if self.exit.is_some() {
            self.end_by_launcher(host).await;
        }
        let exec = &*host.exec;
        let text = |error: host::exec::ExecError| chain(&error);
        if self.jail {
            jails::remove(exec, &self.id).await.map_err(text)?;
            self.jail = false;
        }
        self.writing = None;
        while let Some(at) = self.mounts.last() {
            mounts::unmount(exec, at).await.map_err(text)?;
            self.mounts.pop();
        }
        if self.rules {
            rules::remove(exec, &self.id).await.map_err(text)?;
            self.rules = false;
        }
        if self.root {
            if let Err(error) = host.storage.destroy(&self.id).await {
                // A mount(8) that was killed may have mounted after it was looked for.
                let root = host.storage.root_of(&self.id).folder;
                let mut found = mounts::below(exec, &root).await.map_err(text)?;
                found.reverse();
                self.mounts = found;
                return Err(chain(&error));
            }
            self.root = false;
        }
        if let Some(lease) = &self.lease {
            let removed = alias::take(exec, &host.ledger, &Alias::of(lease)).await;
            removed.map_err(|error| chain(&error))?;
            let jails = jails::list(exec, &host.run).await.map_err(text)?;
            if jails.iter().any(|jail| jail.id == self.id) {
                return Err(format!("the jail {} is still dying", self.id));
            }
            self.lease = None;
        }
        Ok(())
    }

    /// Has the launcher end the island. What it does not confirm, because it is gone or slow, is done by command.
    async fn end_by_launcher(&mut self, host: &Host) {
        let Some(exit) = &mut self.exit else { return };
        host.link.kill(&self.id);
        if let Ok(Ok(Ok(_))) = tokio::time::timeout(LAUNCHER_WAIT, exit).await {
            self.jail = false;
        }
        self.exit = None;
    }
}

/// An estate that is to be given back.
struct TeardownJob {
    resources: JailResources,
    host: Arc<Host>,
}

impl JailResources {
    /// The giving back, for the janitor.
    pub(super) fn step(self, host: Arc<Host>) -> impl TeardownStep {
        TeardownJob { resources: self, host }
    }
}

impl TeardownStep for TeardownJob {
    fn attempt(&mut self) -> BoxFuture<'_, Result<(), StepFailed>> {
        Box::pin(async move { self.resources.give_back(&self.host).await.map_err(StepFailed::new) })
    }
}
