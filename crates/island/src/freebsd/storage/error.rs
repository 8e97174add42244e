//! Why a root was not made.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::single_flight::Lost;
use host::zfs::ZfsError;

/// Why a root was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// ZFS refused.
    #[error("the root of an island cannot be made")]
    Zfs(#[source] Arc<ZfsError>),
    /// The program is not a file that can be read.
    #[error("the program cannot be read")]
    Program(#[source] Arc<io::Error>),
    /// A clone's folder could not be filled.
    #[error("{} cannot be filled", folder.display())]
    Folder {
        /// The clone's folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: Arc<io::Error>,
    },
    /// The artifact has no program in it, although it was made just now.
    #[error("{} has no program; another program changes the datasets of Sky Island", folder.display())]
    Gone {
        /// The artifact's folder.
        folder: PathBuf,
    },
    /// The program was written while it was copied.
    #[error("the program changed while it was copied")]
    Changed,
    /// A task of the server panicked.
    #[error("the work on an island's root ended without a result")]
    Lost,
}

impl StorageError {
    pub(super) fn program(cause: io::Error) -> Self {
        Self::Program(Arc::new(cause))
    }

    pub(super) fn folder(folder: &Path, cause: io::Error) -> Self {
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
