//! Artifacts: for each program a clone of the base system with the program in it, and a snapshot
//! that says that the clone is whole.
//!
//! Invariants: the snapshot is made last and destroyed first, so an artifact with a snapshot is
//! whole, and one that a crash left without a snapshot is made again; one key has one task at a
//! time; an artifact that islands are clones of is never destroyed.

use std::fs::File;
use std::sync::Arc;

use common::causes::chain;
use common::single_flight::SingleFlight;
use host::zfs::{DatasetName, Why, ZfsError};
use parking_lot::Mutex;

use crate::freebsd::storage::cache::{Artifact, ArtifactCache};
use crate::freebsd::storage::error::StorageError;
use crate::freebsd::storage::folder::{self, Open};
use crate::freebsd::storage::key::Key;
use crate::freebsd::storage::keys::Keys;
use crate::freebsd::storage::pool::{CLONE, Pool};

/// How many artifacts are kept. There are more only while islands are clones of all of them.
pub(super) const LIMIT: usize = 256;
/// How many artifacts one pass tries to destroy; ZFS refuses an artifact with clones.
const TRIES: usize = 32;

pub(super) struct Artifacts {
    pool: Arc<Pool>,
    keys: Keys,
    cache: Mutex<ArtifactCache>,
    tasks: SingleFlight<Key, Published>,
    shrinking: tokio::sync::Mutex<()>,
    open: Open,
    limit: usize,
}

/// The result of a task: an artifact that was made or found, or none after it was destroyed.
type Published = Result<Option<Arc<Artifact>>, StorageError>;

impl Artifacts {
    pub(super) fn new(pool: Arc<Pool>, open: Open, limit: usize) -> Self {
        Self {
            keys: Keys::new(pool.layout.base_snapshot()),
            pool,
            cache: Mutex::default(),
            tasks: SingleFlight::default(),
            shrinking: tokio::sync::Mutex::default(),
            open,
            limit,
        }
    }

    /// The artifact of a program, made if there is none. It is not destroyed while the reference
    /// lives.
    pub(super) async fn ready(
        self: &Arc<Self>,
        program: &Arc<File>,
    ) -> Result<Arc<Artifact>, StorageError> {
        let key = self.keys.of(program).await?;
        loop {
            let known = self.cache.lock().get(&key);
            if let Some(artifact) = known {
                return Ok(artifact);
            }
            let (me, wanted, program) = (self.clone(), key.clone(), program.clone());
            let task = self.tasks.join(key.clone(), || me.make(wanted, program));
            // The task that runs may destroy the artifact; then the next one makes it.
            if let Some(artifact) = task.await?? {
                return Ok(artifact);
            }
        }
    }

    /// Adds an artifact that this start found finished.
    pub(super) fn adopt(&self, key: Key) {
        let artifact = self.artifact(key);
        self.cache.lock().adopt(artifact);
    }

    /// Notes an artifact that this start found unfinished, or made for another base system.
    pub(super) fn leave(&self, key: Key) {
        self.cache.lock().leave(key);
    }

    /// Notes that another program destroyed an artifact.
    pub(super) fn forget(&self, key: &Key) {
        self.cache.lock().forget(key);
    }

    /// Destroys the remains of artifacts, and the least recently used artifacts above the limit.
    /// Returns the remains that are still there.
    pub(super) async fn shrink(self: &Arc<Self>) -> Vec<Key> {
        let _one = self.shrinking.lock().await;
        let remains = self.cache.lock().remains();
        for key in remains {
            self.destroy_one(key).await;
        }
        for _ in 0..TRIES {
            let surplus = self.cache.lock().take_surplus(self.limit);
            let Some(artifact) = surplus else { break };
            self.destroy_one(artifact.key.clone()).await;
        }
        self.cache.lock().remains()
    }

    async fn destroy_one(self: &Arc<Self>, key: Key) {
        let (me, leaving) = (self.clone(), key.clone());
        // A task that runs makes the artifact again, so the artifact is wanted.
        let _ = self.tasks.join(key, || me.destroy(leaving)).await;
    }

    async fn make(self: Arc<Self>, key: Key, program: Arc<File>) -> Published {
        let artifact = self.artifact(key);
        if self.clone_base(&artifact).await? {
            let made = self.fill(&artifact, program).await;
            if let Err(error) = made {
                self.discard(&artifact).await;
                return Err(error);
            }
        }
        self.cache.lock().put(artifact.clone());
        let me = self.clone();
        tokio::spawn(async move { me.shrink().await });
        Ok(Some(artifact))
    }

    /// Makes an empty clone, in place of the remains that a crash left. False when a whole artifact
    /// is there already.
    async fn clone_base(&self, artifact: &Artifact) -> Result<bool, StorageError> {
        match self.try_clone(&artifact.dataset).await {
            Err(error) if error.why == Why::Exists => {}
            other => return Ok(other.map(|()| true)?),
        }
        if self.pool.zfs().await.has_snapshot(&artifact.ready).await? {
            return Ok(false);
        }
        self.pool.remove(&artifact.dataset).await?;
        self.try_clone(&artifact.dataset).await?;
        Ok(true)
    }

    async fn try_clone(&self, dataset: &DatasetName) -> Result<(), ZfsError> {
        let base = self.pool.layout.base_snapshot();
        self.pool.zfs().await.clone(&base, dataset, &CLONE).await
    }

    /// Copies the program in, and makes the snapshot. A snapshot has all that was written before
    /// it, also after a crash.
    async fn fill(&self, artifact: &Artifact, program: Arc<File>) -> Result<(), StorageError> {
        let folder = self.pool.folder(&artifact.dataset);
        let (open, base, at) = (self.open, self.pool.layout.base_snapshot(), folder.clone());
        let copy =
            tokio::task::spawn_blocking(move || folder::install(&open(&at)?, &program, &base));
        let copied = copy.await.map_err(|_| StorageError::Lost)?;
        if copied.map_err(|cause| StorageError::folder(&folder, cause))? != artifact.key {
            return Err(StorageError::Changed);
        }
        Ok(self.pool.zfs().await.snapshot(&artifact.ready).await?)
    }

    async fn discard(&self, artifact: &Artifact) {
        if let Err(error) = self.pool.remove(&artifact.dataset).await {
            tracing::debug!(error = %chain(&error), "an unfinished artifact cannot be destroyed yet");
            self.cache.lock().leave(artifact.key.clone());
        }
    }

    /// Destroys an artifact, whole or not, unless islands are clones of it.
    async fn destroy(self: Arc<Self>, key: Key) -> Published {
        let artifact = self.artifact(key);
        let snapshot = self.pool.zfs().await.destroy_snapshot(&artifact.ready).await;
        match snapshot {
            Err(error) if error.why != Why::Missing => {
                if error.why != Why::Depended {
                    tracing::warn!(error = %chain(&error), "an artifact above the limit cannot be destroyed and is kept");
                }
                // The artifact is whole, and in use.
                self.cache.lock().put(artifact);
            }
            _ => {
                self.cache.lock().forget(&artifact.key);
                self.discard(&artifact).await;
            }
        }
        Ok(None)
    }

    fn artifact(&self, key: Key) -> Arc<Artifact> {
        let dataset = self.pool.child(&self.pool.layout.artifacts(), key.as_str());
        Arc::new(Artifact { ready: self.pool.layout.ready_snapshot(&dataset), dataset, key })
    }
}
