//! What the server tells FreeBSD's launcher: the jails to make, and who their processes are.

use serde::{Deserialize, Serialize};

use crate::freebsd::params::Param;

/// One island to make; its control socket comes with the message. On that socket the island is sent, like on Linux,
/// what to become, and answers only when it fails.
#[derive(Debug, Serialize, Deserialize)]
pub struct JailRequest {
    /// Its name, which is its jail's.
    pub id: String,
    /// Its jail.
    pub jail: Vec<Param>,
    /// What the jail loses once the island has changed its user.
    pub last: Vec<Param>,
    /// Its user and group.
    pub user: u32,
    /// What its processes may use.
    pub bounds: ProcessBounds,
    /// Bytes of memory beyond which the kernel kills.
    pub memory: u64,
    /// Yield to whoever wants the processor.
    pub background: bool,
}

/// What each process of an island may use, by setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessBounds {
    /// Bytes of address space. Go reserves much of it, so this is that much above the memory it may use.
    pub address_space: u64,
    /// Processes of its user; none where other islands have the same.
    pub processes: Option<u64>,
    /// Open descriptors.
    pub files: u64,
    /// Bytes of one file.
    pub file_size: u64,
}
