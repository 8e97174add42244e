//! What one island has in the system, from the first step of its making to the last of its
//! teardown.
//!
//! Invariants: a step is noted before it is taken, so that the teardown knows what a failure or a
//! dropped future left; a note is deleted only when the system confirms that the step is undone. An
//! address returns to its pool last of all, when not even a dying jail has it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::exec::{ExecError, Executor};
use host::net::alias::AliasError;
use host::net::{Alias, Lease, alias};
use host::zfs::ZfsError;
use tokio::sync::oneshot;

use crate::backend::{BoxFuture, Exit, StartError};
use crate::freebsd::host::Host;
use crate::freebsd::mounts::Writing;
use crate::freebsd::reason::refused;
use crate::freebsd::storage::ArtifactLease;
use crate::freebsd::teardown::{StepFailed, TeardownStep};
use crate::freebsd::{connections, folders, jails, mounts, rules};
use crate::id::IslandId;
use crate::launcher::uids::Uid;

/// How long the launcher may take to report an exit before jail(8) removes the jail.
const LAUNCHER_WAIT: Duration = Duration::from_secs(5);

/// Why a part of an island is still there.
#[derive(Debug, thiserror::Error)]
pub enum TeardownError {
    /// jail(8) failed.
    #[error("the jail cannot be removed")]
    Jail(#[source] ExecError),
    /// umount(8) failed.
    #[error("{} cannot be unmounted", at.display())]
    Mount {
        /// Where something is mounted.
        at: PathBuf,
        #[source]
        cause: ExecError,
    },
    /// rctl(8) failed.
    #[error("the limits of the jail cannot be removed")]
    Rules(#[source] ExecError),
    /// The folder of the island is busy, or cannot be looked at.
    #[error("the folder {} cannot be removed", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// The root's dataset is busy, or ZFS failed.
    #[error("the root cannot be destroyed")]
    Root(#[source] ZfsError),
    /// The alias of the address is still on its interface.
    #[error("the address cannot be removed from its interface")]
    Address(#[source] AliasError),
    /// jls(8) or mount(8) failed.
    #[error("the host does not say what is left")]
    Look(#[source] ExecError),
    /// The kernel keeps the jail for a connection that is not closed yet.
    #[error("the jail {0} is still dying; its connections keep its address")]
    Dying(IslandId),
    /// The jail is dying, and tcpdrop(8) failed.
    #[error("the jail {id} is still dying, and its connections cannot be dropped")]
    Connections {
        /// The island.
        id: IslandId,
        #[source]
        cause: ExecError,
    },
}

/// What one island has in the system.
pub struct JailResources {
    pub(super) id: IslandId,
    /// The exit that the launcher will report.
    pub(super) exit: Option<oneshot::Receiver<Result<Exit, String>>>,
    /// There may be a jail.
    pub(super) jail: bool,
    /// What commands may have mounted, in the order of mounting.
    pub(super) mounts: Vec<PathBuf>,
    /// Commands may have set rules.
    pub(super) rules: bool,
    /// There may be a folder with the parts that the launcher makes.
    pub(super) folder: bool,
    /// The artifact that the launcher may have mounted.
    pub(super) artifact: Option<ArtifactLease>,
    /// There may be a dataset for the root.
    pub(super) root: bool,
    /// The address; its alias may be on the interface.
    pub(super) lease: Option<Arc<Lease>>,
    /// When no process of the island was left; none before that.
    empty: Option<Instant>,
    /// The user, free for another island when this value is dropped.
    pub(super) _user: Option<Uid>,
    /// The folders that the island may write; other islands may when nothing of it runs any more.
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
            folder: false,
            artifact: None,
            root: false,
            lease: None,
            empty: None,
            _user: None,
            writing: None,
        }
    }

    /// An island of an earlier start, of which anything may be left.
    pub(super) fn leftover(id: IslandId, mounts: Vec<PathBuf>, lease: Option<Lease>) -> Self {
        let lease = lease.map(Arc::new);
        let resources = Self::new(id);
        Self { jail: true, rules: true, folder: true, root: true, mounts, lease, ..resources }
    }

    /// Undoes the steps, the last one first. After a failure the caller tries again.
    async fn tear_down(&mut self, host: &Host) -> Result<(), TeardownError> {
        if self.exit.is_some() {
            self.end_by_launcher(host).await;
        }
        let exec = &*host.exec;
        if self.jail {
            jails::remove(exec, &self.id).await.map_err(TeardownError::Jail)?;
            self.jail = false;
        }
        let dropped = self.drop_connections(exec).await;
        self.writing = None;
        if self.folder {
            self.look_for_parts(host).await?;
        }
        while let Some(at) = self.mounts.last() {
            let failed = |cause| TeardownError::Mount { at: at.clone(), cause };
            mounts::unmount(exec, at).await.map_err(failed)?;
            self.mounts.pop();
        }
        if self.rules {
            rules::remove(exec, &self.id).await.map_err(TeardownError::Rules)?;
            self.rules = false;
        }
        if self.root {
            if let Err(error) = host.storage.destroy(&self.id).await {
                // A mount(8) that was killed may have mounted something after the look at its
                // mounts.
                self.mounts = self.mounted(host).await?;
                return Err(TeardownError::Root(error));
            }
            self.root = false;
        }
        if self.folder {
            let folder = host.folder(&self.id);
            let failed = |cause| TeardownError::Folder { folder: folder.clone(), cause };
            folders::remove(&folder).await.map_err(failed)?;
            self.folder = false;
        }
        self.artifact = None;
        if let Some(lease) = &self.lease {
            let removed = alias::take(exec, &host.ledger, &Alias::of(lease)).await;
            removed.map_err(TeardownError::Address)?;
            let jails = jails::list(exec, &host.run).await.map_err(TeardownError::Look)?;
            if jails.iter().any(|jail| jail.id == self.id) {
                let id = self.id.clone();
                return Err(match dropped {
                    Ok(()) => TeardownError::Dying(id),
                    Err(cause) => TeardownError::Connections { id, cause },
                });
            }
            self.lease = None;
        }
        Ok(())
    }

    /// Drops the connections that keep the jail dying, and with it its address and its root. The
    /// first attempt drops none: most jails have none, and are gone at once.
    async fn drop_connections(&mut self, exec: &dyn Executor) -> Result<(), ExecError> {
        let (Some(lease), Some(empty)) = (&self.lease, self.empty) else {
            self.empty = Some(Instant::now());
            return Ok(());
        };
        connections::drop_from(exec, lease.address(), empty.elapsed()).await
    }

    /// Finds the parts that the launcher made and did not undo. The launcher removes the folder
    /// last, so that most islands end here without a command of the host.
    async fn look_for_parts(&mut self, host: &Host) -> Result<(), TeardownError> {
        let folder = host.folder(&self.id);
        let there = folders::exists(&folder).await;
        if !there.map_err(|cause| TeardownError::Folder { folder, cause })? {
            self.folder = false;
            return Ok(());
        }
        self.mounts = self.mounted(host).await?;
        self.rules |= host.counts;
        Ok(())
    }

    /// What is mounted at the island's folder and below it, without ZFS, in the order of mounting.
    async fn mounted(&self, host: &Host) -> Result<Vec<PathBuf>, TeardownError> {
        let folder = host.folder(&self.id);
        let mut found = mounts::below(&*host.exec, &host.run).await.map_err(TeardownError::Look)?;
        found.retain(|at| at.starts_with(&folder));
        found.reverse();
        Ok(found)
    }

    /// Waits for the exit of the island.
    pub(super) async fn end(&mut self) -> Result<Exit, StartError> {
        let Some(exit) = &mut self.exit else {
            return Err(refused("the exit of the island was awaited twice"));
        };
        let ended = exit.await;
        self.exit = None;
        match ended {
            Ok(Ok(exit)) => {
                self.jail = false;
                // Before the caller learns of the exit: its next island may write the same folder.
                self.writing = None;
                Ok(exit)
            }
            Ok(Err(error)) => Err(StartError::Refused(error)),
            Err(_) => Err(StartError::Launcher("the launcher forgot an island".into())),
        }
    }

    /// Has the launcher end the island. If the launcher is gone or slow, jail(8) does it.
    async fn end_by_launcher(&mut self, host: &Host) {
        let Some(exit) = &mut self.exit else { return };
        host.launcher.kill(&self.id);
        if let Ok(Ok(Ok(_))) = tokio::time::timeout(LAUNCHER_WAIT, exit).await {
            self.jail = false;
        }
        self.exit = None;
    }
}

/// The teardown of an island.
struct TeardownJob {
    resources: JailResources,
    host: Arc<Host>,
}

impl JailResources {
    /// The teardown, for the janitor.
    pub(super) fn step(self, host: Arc<Host>) -> impl TeardownStep {
        TeardownJob { resources: self, host }
    }
}

impl TeardownStep for TeardownJob {
    fn attempt(&mut self) -> BoxFuture<'_, Result<(), StepFailed>> {
        Box::pin(async move { self.resources.tear_down(&self.host).await.map_err(StepFailed::new) })
    }
}
