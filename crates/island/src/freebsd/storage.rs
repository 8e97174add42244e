//! The roots of islands, each a ZFS clone, so that no byte is copied for a call.
//!
//! A function's root is a clone of its artifact: the base system with the program in it, kept for the next call. A
//! tool's root is a clone of the build jail, which is prepared and then made read-only.
//!
//! What must always hold: a root's dataset has its island's name, and whoever asks for a root gives that name back with
//! [`Storage::destroy`], however the asking ended: well, badly, or dropped on the way. What does not carry an island's
//! name is never touched.

mod artifacts;
mod cache;
pub(crate) mod folder;
mod key;
mod leftovers;
mod pool;

pub use folder::{Open, open_mounted};
pub use leftovers::Leftovers;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::single_flight::{Lost, SingleFlight};
use host::layout::Layout;
use host::zfs::{DatasetName, Properties, SnapshotName, Why, Zfs, ZfsError};

use crate::id::IslandId;
use artifacts::Artifacts;
use pool::Pool;

/// Where a function's program lies on its island.
pub const FUNCTION_PROGRAM: &str = "/function";

/// What every clone is made with. It is worth nothing after a crash, so nothing waits for the disk.
const CLONE: [(&str, &str); 3] = [("setuid", "off"), ("atime", "off"), ("sync", "disabled")];
/// What a function's root adds. It is read-only; the quota is the net below.
const FUNCTION: [(&str, &str); 3] = [("readonly", "on"), ("exec", "on"), ("quota", "1M")];
/// What a tool's root adds. The quota bounds what is written into it before it is read-only.
const TOOL: [(&str, &str); 2] = [("exec", "on"), ("quota", "1G")];

/// The datasets of one server: artifacts, and the roots of its islands.
pub struct Storage {
    pool: Arc<Pool>,
    artifacts: Arc<Artifacts>,
    roots: SingleFlight<IslandId, Result<Root, StorageError>>,
    open: Open,
}

/// One island's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its dataset.
    pub dataset: DatasetName,
    /// Where that is mounted.
    pub folder: PathBuf,
}

/// A root could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// ZFS refused.
    #[error("the storage of an island cannot be made")]
    Zfs(#[source] Arc<ZfsError>),
    /// The program is no file that can be read.
    #[error("the program cannot be read")]
    Program(#[source] Arc<io::Error>),
    /// A clone's folder could not be given what belongs in it.
    #[error("{folder} cannot be prepared")]
    Folder {
        /// The clone's folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: Arc<io::Error>,
    },
    /// Somebody wrote the program while it was copied.
    #[error("the program changed while it was copied")]
    Changed,
    /// A part of our own panicked.
    #[error("the work on an island's storage ended without a result")]
    Lost,
}

impl Storage {
    /// The storage of the datasets that init has made.
    pub fn new(zfs: Zfs, layout: Layout) -> Arc<Self> {
        Self::opened_by(zfs, layout, open_mounted)
    }

    /// The same, where clones are opened in another way.
    pub(super) fn opened_by(zfs: Zfs, layout: Layout, open: Open) -> Arc<Self> {
        Self::opening(zfs, layout, open, artifacts::LIMIT)
    }

    fn opening(zfs: Zfs, layout: Layout, open: Open, limit: usize) -> Arc<Self> {
        let pool = Arc::new(Pool::new(zfs, layout));
        let artifacts = Arc::new(Artifacts::new(pool.clone(), open, limit));
        Arc::new(Self { pool, artifacts, roots: SingleFlight::default(), open })
    }

    /// What an island's root is called and where it lies, whether it has been made or not.
    pub fn root_of(&self, island: &IslandId) -> Root {
        let dataset = self.pool.child(&self.pool.layout.run(), island.as_str());
        Root { folder: self.pool.folder(&dataset), dataset }
    }

    /// Makes the root of a function's island: read-only, with the program at [`FUNCTION_PROGRAM`].
    ///
    /// The work goes on when nobody waits any more. In any case the name is to be given back with [`Storage::destroy`].
    pub async fn function_root(
        self: &Arc<Self>,
        island: &IslandId,
        program: &Arc<File>,
    ) -> Result<Root, StorageError> {
        let (me, root, program) = (self.clone(), self.root_of(island), program.clone());
        let work = || async move { me.make_function_root(root, &program).await };
        self.roots.join(island.clone(), work).await?
    }

    /// Makes the root of a tool's island: the build jail, as `prepare` changes it, read-only from then on. `prepare` is
    /// given the root's folder and may block.
    ///
    /// The work goes on when nobody waits any more. In any case the name is to be given back with [`Storage::destroy`].
    pub async fn tool_root(
        self: &Arc<Self>,
        island: &IslandId,
        prepare: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> Result<Root, StorageError> {
        let (me, root) = (self.clone(), self.root_of(island));
        let work = || async move { me.make_tool_root(root, prepare).await };
        self.roots.join(island.clone(), work).await?
    }

    /// Destroys an island's root, once the making of it has ended. One that is not there is no error. One that
    /// something still holds is, with [`Why::Busy`]; it is to be tried again.
    pub async fn destroy(&self, island: &IslandId) -> Result<(), ZfsError> {
        self.roots.wait(island).await;
        self.pool.remove(&self.root_of(island).dataset).await
    }

    async fn make_function_root(
        &self,
        root: Root,
        program: &Arc<File>,
    ) -> Result<Root, StorageError> {
        let artifact = self.artifacts.ready(program).await?;
        match self.clone(&artifact.ready, &root, &FUNCTION).await {
            Err(error) if error.why == Why::Missing => {}
            other => return Ok(other.map(|()| root)?),
        }
        // Somebody else destroyed the artifact; it is made anew.
        self.artifacts.forget(&artifact.key);
        let artifact = self.artifacts.ready(program).await?;
        self.clone(&artifact.ready, &root, &FUNCTION).await?;
        Ok(root)
    }

    async fn make_tool_root(
        &self,
        root: Root,
        prepare: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> Result<Root, StorageError> {
        self.clone(&self.pool.layout.build_snapshot(), &root, &TOOL).await?;
        let (open, folder) = (self.open, root.folder.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            // Held open, the folder stays the clone's; it is closed before the clone becomes read-only.
            let _mounted = open(&folder)?;
            prepare(&folder)
        });
        let prepared = prepared.await.map_err(|_| StorageError::Lost)?;
        prepared.map_err(|cause| StorageError::folder(&root.folder, cause))?;
        self.pool.zfs().await.set(&root.dataset, &[("readonly", "on")]).await?;
        Ok(root)
    }

    async fn clone(
        &self,
        origin: &SnapshotName,
        root: &Root,
        with: &Properties<'_>,
    ) -> Result<(), ZfsError> {
        let with = [&CLONE, with].concat();
        self.pool.zfs().await.clone(origin, &root.dataset, &with).await
    }
}

impl StorageError {
    fn program(cause: io::Error) -> Self {
        Self::Program(Arc::new(cause))
    }

    fn folder(folder: &Path, cause: io::Error) -> Self {
        Self::Folder { folder: folder.to_owned(), cause: Arc::new(cause) }
    }
}

impl From<ZfsError> for StorageError {
    fn from(error: ZfsError) -> Self {
        Self::Zfs(Arc::new(error))
    }
}

impl From<Lost> for StorageError {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

#[cfg(test)]
mod tests;
