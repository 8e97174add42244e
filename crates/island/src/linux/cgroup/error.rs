//! Why the kernel's control groups could not be had.

use std::io;
use std::path::PathBuf;

/// Why a control group could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    /// A file that describes the host's hierarchies cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The host has no usable hierarchy.
    #[error("this host mounts no cgroup hierarchy with the memory and pids controllers")]
    NoHierarchy,
    /// The server's own group has no limits to give.
    #[error("{} has no {controllers} controller", group.display())]
    Lacks {
        /// The folder of the group.
        group: PathBuf,
        /// The controllers that are missing.
        controllers: String,
    },
    /// The server shares its group with processes that are none of its business.
    #[error("{} also holds other processes ({others}), so the groups below it can have no limits", group.display())]
    Occupied {
        /// The folder of the group.
        group: PathBuf,
        /// The other processes.
        others: String,
    },
    /// The server may not make its group.
    #[error("no control group can be made below {}", parent.display())]
    Home {
        /// The folder of the group above.
        parent: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A launcher may not make an island's group.
    #[error("mkdir of the group failed")]
    Folder(#[source] io::Error),
    /// A limit could not be set.
    #[error("{file} cannot be written")]
    Limit {
        /// The file of the limit.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
}
