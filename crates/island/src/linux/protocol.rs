//! What the server tells the launchers of Linux: the islands to make, and their roots.
//!
//! A [`IslandRequest`] says what the island is to become, or leaves it to a *control* socket of the island's own, whose far end
//! travels with it: on it the server sends one [`ExecRequest`] together with the descriptors to run on, and the island answers
//! only when it fails. It closes on exec, so nothing that a stranger wrote ever holds it. Of an island with an address,
//! the launcher says the first word there: [`MADE`], with the descriptor of the island's network namespace, before it
//! lets the island go on.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::backend::Exit;
use crate::launcher::wire::ExecRequest;
use crate::spec::Limits;

/// Descriptors that a process of an island may have open.
const OPEN_FILES: u64 = 1024;

/// The message that brings an island's network namespace.
pub(crate) const MADE: &str = "made";

/// One island to make.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IslandRequest {
    pub(crate) id: String,
    /// The host's user and group id behind the island's user; none where the server is not root.
    pub(crate) host_id: Option<u32>,
    pub(crate) network: Network,
    pub(crate) bounds: ProcessBounds,
    /// Yield to whoever wants the processor.
    pub(crate) background: bool,
    /// The root to build; none for the launcher's own empty one.
    pub(crate) root: Option<ToolRoot>,
    /// What it becomes at once, with the descriptors that come with this message; none if it is told on its control
    /// socket. For islands that fit a berth.
    pub(crate) go: Option<ExecRequest>,
}

impl IslandRequest {
    /// A function without an address: nothing of it needs namespaces that no other had before it.
    pub(crate) fn fits_a_berth(&self) -> bool {
        self.root.is_none() && self.network == Network::None && !self.background
    }
}

/// Launcher to berth: fork an island, which is told what to become here or on the control socket that comes with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForkRequest {
    pub(crate) go: Option<ExecRequest>,
}

/// Berth to launcher: its island has ended, or could not be made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForkReport {
    pub(crate) end: Result<Exit, String>,
    /// The berth is as it was before that island, and waits for the next; otherwise it ends.
    pub(crate) free: bool,
}

/// What an island reaches.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Network {
    /// Nothing: a network namespace in which not even loopback is up.
    None,
    /// What the host reaches.
    Host,
    /// A namespace of its own, in which the server puts an address before the program starts.
    Address {
        /// Name servers.
        dns: Vec<IpAddr>,
    },
}

/// What an island may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessBounds {
    /// Bytes, of each process by itself and of all together where the host has cgroups.
    pub(crate) memory: u64,
    /// Processes and threads.
    pub(crate) processes: u64,
    /// Bytes in a private /tmp; 0 where /tmp is a bind of the root.
    pub(crate) tmp: u64,
    /// Open descriptors of a process.
    pub(crate) files: u64,
    /// Bytes of one file.
    pub(crate) file_size: u64,
}

impl ProcessBounds {
    /// Of an island with these limits, and so many bytes in a private /tmp.
    pub(crate) fn of(limits: &Limits, tmp: u64) -> Self {
        let file_size = match &limits.disk {
            Some(disk) => disk.bytes,
            None => limits.tmp,
        };
        let Limits { memory, processes, .. } = *limits;
        Self { memory, processes, tmp, files: OPEN_FILES, file_size }
    }
}

/// The root of an island that works with tools of the host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToolRoot {
    pub(crate) binds: Vec<BindMount>,
    /// Link path and target.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
    /// Small files to write: path and contents.
    pub(crate) files: Vec<(PathBuf, String)>,
    pub(crate) overlay: Option<OverlayMount>,
}

/// A file or folder of the host that the island sees.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BindMount {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) writable: bool,
}

/// A writable folder over read-only ones.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OverlayMount {
    /// The topmost first.
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) target: PathBuf,
}
