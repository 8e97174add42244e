//! The commands that storage gives to ZFS, a bounded number of them at once.

use std::ops::Deref;
use std::path::PathBuf;

use host::layout::Layout;
use host::zfs::{DatasetName, Why, Zfs, ZfsError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many commands run at once. A command that changes something waits for a transaction group,
/// which many commands share.
const AT_ONCE: usize = 16;
/// The properties of every clone. A crash makes a clone worthless, so nothing waits for the disk.
pub(super) const CLONE: [(&str, &str); 3] =
    [("setuid", "off"), ("atime", "off"), ("sync", "disabled")];

/// A server's part of a pool.
pub(super) struct Pool {
    pub(super) layout: Layout,
    zfs: Zfs,
    turns: Semaphore,
}

/// The right to give one command.
pub(super) struct Turn<'a> {
    zfs: &'a Zfs,
    _permit: SemaphorePermit<'a>,
}

impl Deref for Turn<'_> {
    type Target = Zfs;

    fn deref(&self) -> &Zfs {
        self.zfs
    }
}

impl Pool {
    pub(super) fn new(zfs: Zfs, layout: Layout) -> Self {
        Self { layout, zfs, turns: Semaphore::new(AT_ONCE) }
    }

    /// Waits for a turn, which ends with the caller's statement.
    pub(super) async fn zfs(&self) -> Turn<'_> {
        let permit = self.turns.acquire().await;
        let permit = permit.unwrap_or_else(|_| unreachable!("the turns are never closed"));
        Turn { zfs: &self.zfs, _permit: permit }
    }

    /// A dataset directly below another. `element` is a key or an island's name, for which the layout
    /// has room.
    pub(super) fn child(&self, of: &DatasetName, element: &str) -> DatasetName {
        of.child(element).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Where a dataset of the layout is mounted.
    pub(super) fn folder(&self, dataset: &DatasetName) -> PathBuf {
        let folder = self.layout.folder_of(dataset);
        folder.unwrap_or_else(|| unreachable!("{dataset} is not in the layout"))
    }

    /// Destroys a dataset and the snapshots that other programs made of it. A missing dataset is no
    /// error.
    pub(super) async fn remove(&self, dataset: &DatasetName) -> Result<(), ZfsError> {
        let mut result = self.zfs().await.destroy(dataset).await;
        if result.as_ref().is_err_and(|error| error.why == Why::Depended) {
            result = self.zfs().await.destroy_tree(dataset).await;
        }
        match result {
            Err(error) if error.why == Why::Missing => Ok(()),
            other => other,
        }
    }
}
