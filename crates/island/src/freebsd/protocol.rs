//! The request of the server to FreeBSD's launcher: a jail to make, and its first process.

use serde::{Deserialize, Serialize};

use crate::freebsd::params::Param;
use crate::freebsd::parts::JailParts;

/// One island to make. The island's control socket comes with the message. On that socket the
/// server sends the program to execute, as on Linux, and the island answers only when it fails.
#[derive(Debug, Serialize, Deserialize)]
pub struct JailRequest {
    /// The name of the island and of its jail.
    pub id: String,
    /// What is made before the jail, and undone after it.
    pub parts: JailParts,
    /// The parameters of the jail.
    pub jail: Vec<Param>,
    /// The parameters that the jail gets when the island has changed its user.
    pub last: Vec<Param>,
    /// The island's user and group.
    pub user: u32,
    /// What each of its processes may use.
    pub bounds: ProcessBounds,
    /// Bytes of memory beyond which the kernel kills.
    pub memory: u64,
    /// Whether the island has the lowest priority.
    pub background: bool,
}

/// The limits of each process of an island, by setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessBounds {
    /// Bytes of address space: the memory that the process may use, and what Go reserves.
    pub address_space: u64,
    /// Processes of the user; none where islands share the user.
    pub processes: Option<u64>,
    /// Open descriptors.
    pub files: u64,
    /// Bytes of one file.
    pub file_size: u64,
}
