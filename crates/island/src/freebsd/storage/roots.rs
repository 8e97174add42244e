//! The roots of islands: for a function the artifact that its islands have views of, for a tool a
//! clone under its island's name, which is destroyed by that name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::single_flight::SingleFlight;
use host::layout::Layout;
use host::zfs::{DatasetName, Properties, SnapshotName, Zfs, ZfsError};

use crate::freebsd::storage::artifacts::{self, Artifacts};
use crate::freebsd::storage::cache::Artifact;
use crate::freebsd::storage::error::StorageError;
use crate::freebsd::storage::folder::{Open, open_mounted};
use crate::freebsd::storage::pool::{CLONE, Pool};
use crate::id::IslandId;

/// The properties that a tool's root adds. The quota bounds what is written before the root is
/// read-only.
const TOOL: [(&str, &str); 2] = [("exec", "on"), ("quota", "1G")];

/// The datasets of one server: artifacts, and the roots of its islands.
pub struct Storage {
    pub(super) pool: Arc<Pool>,
    pub(super) artifacts: Arc<Artifacts>,
    roots: SingleFlight<IslandId, Result<Root, StorageError>>,
    open: Open,
}

/// An artifact in use. It is not destroyed while the value lives.
#[derive(Clone, Debug)]
pub struct ArtifactLease {
    artifact: Arc<Artifact>,
    folder: PathBuf,
}

impl ArtifactLease {
    /// Where the artifact is mounted: the base system, read-only, with the program at
    /// [`PROGRAM_PATH`](super::PROGRAM_PATH).
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The artifact's dataset.
    pub fn dataset(&self) -> &DatasetName {
        &self.artifact.dataset
    }
}

/// One tool's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its dataset.
    pub dataset: DatasetName,
    /// Where the dataset is mounted.
    pub folder: PathBuf,
}

impl Storage {
    /// The storage on the datasets that `sky-island init` has made.
    pub fn new(zfs: Zfs, layout: Layout) -> Arc<Self> {
        Self::opened_by(zfs, layout, open_mounted)
    }

    /// As [`Storage::new`], but opens the folders of clones in another way.
    pub(crate) fn opened_by(zfs: Zfs, layout: Layout, open: Open) -> Arc<Self> {
        Self::opening(zfs, layout, open, artifacts::LIMIT)
    }

    /// As [`Storage::opened_by`], but keeps at most `limit` artifacts.
    pub(super) fn opening(zfs: Zfs, layout: Layout, open: Open, limit: usize) -> Arc<Self> {
        let pool = Arc::new(Pool::new(zfs, layout));
        let artifacts = Arc::new(Artifacts::new(pool.clone(), open, limit));
        Arc::new(Self { pool, artifacts, roots: SingleFlight::default(), open })
    }

    /// The name and folder of an island's root, whether the root has been made or not.
    pub fn root_of(&self, island: &IslandId) -> Root {
        let dataset = self.pool.child(&self.pool.layout.run(), island.as_str());
        Root { folder: self.pool.folder(&dataset), dataset }
    }

    /// The artifact of a function, made if there is none.
    ///
    /// The work goes on when the future is dropped.
    pub async fn artifact(&self, program: &Arc<File>) -> Result<ArtifactLease, StorageError> {
        let artifact = self.artifacts.usable(program).await?;
        Ok(ArtifactLease { folder: self.pool.folder(&artifact.dataset), artifact })
    }

    /// Makes the root of a tool's island: the build jail, changed by `prepare`, and then read-only.
    /// `prepare` gets the root's folder and may block.
    ///
    /// The work goes on when the future is dropped. The caller destroys the root with
    /// [`Storage::destroy`] in every case.
    pub async fn tool_root(
        self: &Arc<Self>,
        island: &IslandId,
        prepare: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> Result<Root, StorageError> {
        let (me, root) = (self.clone(), self.root_of(island));
        let work = || async move { me.make_tool_root(root, prepare).await };
        self.roots.join(island.clone(), work).await?
    }

    /// Destroys an island's root, after the making of it has ended. A missing root is no error. A
    /// root that something still uses is an error with [`Why::Busy`](host::zfs::Why::Busy); the
    /// caller tries again.
    pub async fn destroy(&self, island: &IslandId) -> Result<(), ZfsError> {
        self.roots.wait(island).await;
        self.pool.remove(&self.root_of(island).dataset).await
    }

    async fn make_tool_root(
        &self,
        root: Root,
        prepare: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> Result<Root, StorageError> {
        self.clone(&self.pool.layout.build_snapshot(), &root, &TOOL).await?;
        let (open, folder) = (self.open, root.folder.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            // The open descriptor keeps the clone mounted; it is closed before the clone becomes
            // read-only.
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
