//! Artifacts: for each program a clone of the base system with the program in it, and a snapshot that says it is whole.
//!
//! What must always hold: the snapshot is the last thing made and the first destroyed, so what has one is whole, and
//! what a crash left without one is made anew; of one key only one thing is done at a time; one that islands are
//! clones of is never destroyed.

use std::fs::File;
use std::sync::Arc;

use common::single_flight::SingleFlight;
use host::zfs::{DatasetName, Why, ZfsError};
use parking_lot::Mutex;

use crate::freebsd::storage::cache::{Artifact, ArtifactCache};
use crate::freebsd::storage::folder::{self, Open};
use crate::freebsd::storage::key::{Key, Keys};
use crate::freebsd::storage::pool::Pool;
use crate::freebsd::storage::{CLONE, StorageError};

/// How many artifacts there are at most; more only while islands are clones of all of them.
pub(super) const LIMIT: usize = 256;
/// How many artifacts are tried when one must go; those that islands are clones of cannot.
const TRIES: usize = 32;

pub(super) struct Artifacts {
    pool: Arc<Pool>,
    keys: Keys,
    cache: Mutex<ArtifactCache>,
    flights: SingleFlight<Key, Published>,
    shrinking: tokio::sync::Mutex<()>,
    open: Open,
    limit: usize,
}

/// What was done about a key: an artifact made or found, or none any more.
type Published = Result<Option<Arc<Artifact>>, StorageError>;

impl Artifacts {
    pub(super) fn new(pool: Arc<Pool>, open: Open, limit: usize) -> Self {
        Self {
            keys: Keys::new(pool.layout.base_snapshot()),
            pool,
            cache: Mutex::default(),
            flights: SingleFlight::default(),
            shrinking: tokio::sync::Mutex::default(),
            open,
            limit,
        }
    }

    /// The artifact of a program, made where there is none. It stays as long as it is held.
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
            let flight = self.flights.join(key.clone(), || me.make(wanted, program));
            // The flight under way may be one that destroys it; then the next one makes it.
            if let Some(artifact) = flight.await?? {
                return Ok(artifact);
            }
        }
    }

    /// Takes in what this start found finished.
    pub(super) fn adopt(&self, key: Key) {
        let artifact = self.artifact(key);
        self.cache.lock().adopt(artifact);
    }

    /// Takes note of what this start found unfinished, or made for another base system.
    pub(super) fn leave(&self, key: Key) {
        self.cache.lock().leave(key);
    }

    /// Says that an artifact is gone, though nobody here destroyed it.
    pub(super) fn forget(&self, key: &Key) {
        self.cache.lock().forget(key);
    }

    /// Destroys what is left of artifacts, and the least recently used ones that are too many. Answers what
    /// is still left.
    pub(super) async fn shrink(self: &Arc<Self>) -> Vec<Key> {
        let _one = self.shrinking.lock().await;
        let remains = self.cache.lock().remains();
        for key in remains {
            self.go(key).await;
        }
        for _ in 0..TRIES {
            let surplus = self.cache.lock().take_surplus(self.limit);
            let Some(artifact) = surplus else { break };
            self.go(artifact.key.clone()).await;
        }
        self.cache.lock().remains()
    }

    async fn go(self: &Arc<Self>, key: Key) {
        let (me, leaving) = (self.clone(), key.clone());
        // A flight that is under way makes it again, so it is wanted.
        let _ = self.flights.join(key, || me.destroy(leaving)).await;
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

    /// Makes the clone to be filled, over what a crash left. False when a whole artifact is there already.
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

    /// Copies the program in, and makes the snapshot. What was written before a snapshot is in it, also after a crash.
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
            tracing::debug!(%error, "an unfinished artifact stays for now");
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
                    tracing::warn!(%error, "an artifact cannot be destroyed; it is kept");
                }
                // It is whole, and in use.
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
