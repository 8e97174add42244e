//! Artifacts: for each program a clone of the base system with the program in it, read-only and
//! mounted, with a property that says that the clone is whole. The islands of a function have views
//! of one artifact.
//!
//! Invariants: the property is set last, so an artifact with the property is whole, and one that a
//! crash left without it is made again; an artifact has no snapshot of its own, because an island
//! could reach it through `.zfs` and have the kernel mount it; one key has one task at a time; an
//! artifact that islands use is never destroyed, because its user has a reference to it, and
//! because the kernel does not unmount a file system that has views.

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

/// How many artifacts are kept. There are more only while islands use all of them.
pub(super) const LIMIT: usize = 256;
/// How many artifacts one pass tries to destroy.
const TRIES: usize = 32;
/// How often an artifact is looked for that another program destroys or unmounts.
const LOOKS: usize = 2;
/// The properties that an artifact adds while it is filled, and the ones that it gets then.
const FILLING: [(&str, &str); 1] = [("exec", "on")];
const FILLED: [(&str, &str); 2] = [("readonly", "on"), (WHOLE, YES)];
/// The property of a whole artifact.
pub(super) const WHOLE: &str = "sky-island:whole";
pub(super) const YES: &str = "yes";

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

    /// The artifact of a program, mounted, made if there is none. It is not destroyed while the
    /// reference lives.
    pub(super) async fn usable(
        self: &Arc<Self>,
        program: &Arc<File>,
    ) -> Result<Arc<Artifact>, StorageError> {
        for _ in 0..LOOKS {
            let artifact = self.ready(program).await?;
            if self.is_there(&artifact).await? {
                return Ok(artifact);
            }
            // Another program destroyed or unmounted the artifact.
            self.cache.lock().forget(&artifact.key);
        }
        let artifact = self.artifact(self.keys.of(program).await?);
        Err(StorageError::Gone { folder: self.pool.folder(&artifact.dataset) })
    }

    /// The artifact of a program, made if there is none, as far as this server knows.
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

    /// Whether an artifact's clone is mounted, with the program in it.
    async fn is_there(&self, artifact: &Artifact) -> Result<bool, StorageError> {
        let (open, folder) = (self.open, self.pool.folder(&artifact.dataset));
        let look = move || open(&folder).is_ok_and(|root| folder::has_program(&root));
        tokio::task::spawn_blocking(look).await.map_err(|_| StorageError::Lost)
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

    /// Makes an empty clone, in place of the remains that a crash or another program left. False
    /// when a whole artifact is there already.
    async fn clone_base(&self, artifact: &Artifact) -> Result<bool, StorageError> {
        match self.try_clone(&artifact.dataset).await {
            Err(error) if error.why == Why::Exists => {}
            other => return Ok(other.map(|()| true)?),
        }
        let is_whole = self.pool.zfs().await.get(&artifact.dataset, WHOLE).await?;
        if is_whole.as_deref() == Some(YES) {
            if self.is_there(artifact).await? {
                return Ok(false);
            }
            // An artifact that cannot be mounted is made again.
            let _ = self.pool.zfs().await.mount(&artifact.dataset).await;
            if self.is_there(artifact).await? {
                return Ok(false);
            }
        }
        self.pool.remove(&artifact.dataset).await?;
        self.try_clone(&artifact.dataset).await?;
        Ok(true)
    }

    async fn try_clone(&self, dataset: &DatasetName) -> Result<(), ZfsError> {
        let base = self.pool.layout.base_snapshot();
        self.pool.zfs().await.clone(&base, dataset, &[&CLONE[..], &FILLING].concat()).await
    }

    /// Copies the program in, and makes the clone read-only and whole. A transaction group has a
    /// property only together with all that was written before, also after a crash.
    async fn fill(&self, artifact: &Artifact, program: Arc<File>) -> Result<(), StorageError> {
        let folder = self.pool.folder(&artifact.dataset);
        let (open, base, at) = (self.open, self.pool.layout.base_snapshot(), folder.clone());
        let copy =
            tokio::task::spawn_blocking(move || folder::install(&open(&at)?, &program, &base));
        let copied = copy.await.map_err(|_| StorageError::Lost)?;
        if copied.map_err(|cause| StorageError::folder(&folder, cause))? != artifact.key {
            return Err(StorageError::Changed);
        }
        Ok(self.pool.zfs().await.set(&artifact.dataset, &FILLED).await?)
    }

    async fn discard(&self, artifact: &Artifact) {
        if let Err(error) = self.pool.remove(&artifact.dataset).await {
            tracing::debug!(error = %chain(&error), "an unfinished artifact cannot be destroyed yet");
            self.cache.lock().leave(artifact.key.clone());
        }
    }

    /// Destroys an artifact, whole or not, unless islands have views of it.
    async fn destroy(self: Arc<Self>, key: Key) -> Published {
        let artifact = self.artifact(key);
        let is_whole = !self.cache.lock().remains().contains(&artifact.key);
        match self.pool.remove(&artifact.dataset).await {
            Ok(()) => self.cache.lock().forget(&artifact.key),
            Err(error) if is_whole => {
                if error.why != Why::Busy {
                    tracing::warn!(error = %chain(&error), "an artifact above the limit cannot be destroyed and is kept");
                }
                // The artifact is in use.
                self.cache.lock().put(artifact);
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), "the remains of an artifact cannot be destroyed yet");
            }
        }
        Ok(None)
    }

    fn artifact(&self, key: Key) -> Arc<Artifact> {
        let dataset = self.pool.child(&self.pool.layout.artifacts(), key.as_str());
        Arc::new(Artifact { dataset, key })
    }
}
