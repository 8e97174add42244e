//! The messages from the server to the launchers of Linux, and between a launcher and its zygotes.
//!
//! An [`IslandRequest`] carries the program of the island, or the far end of a *control* socket. On
//! the control socket the server sends one [`ExecRequest`] with the program's descriptors; the
//! island answers only if it fails. The socket closes on exec, so a stranger's program never holds
//! it. For an island with an address, the launcher sends the first message on the control socket:
//! [`MADE`], with the descriptor of the island's network namespace, before the island continues.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::backend::Exit;
use crate::id::IslandId;
use crate::launcher::wire::ExecRequest;
use crate::linux::cgroup::share::Share;
use crate::spec::{OPEN_FILES, Resources, Spec};

/// The message that carries an island's network namespace.
pub(crate) const MADE: &str = "made";

/// An island to make.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IslandRequest {
    pub(crate) id: String,
    /// The host's user and group id of the island's user; none where the server is not root.
    pub(crate) host_id: Option<u32>,
    pub(crate) network: Network,
    pub(crate) bounds: ProcessBounds,
    /// Yield the processor to every other process that wants it.
    pub(crate) background: bool,
    /// The root to build; none for the launcher's own, empty root.
    pub(crate) root: Option<ToolRoot>,
    /// The program, whose descriptors come with this message; none if the request for the program
    /// follows on the control socket. Only islands that fit a zygote have one.
    pub(crate) go: Option<ExecRequest>,
}

impl IslandRequest {
    /// A function's island, which takes the request for its program on its control socket.
    pub(crate) fn of_function(
        id: &IslandId,
        host_id: Option<u32>,
        bounds: ProcessBounds,
        network: Network,
    ) -> Self {
        let id = id.to_string();
        Self { id, host_id, network, bounds, background: false, root: None, go: None }
    }

    /// The island's part of what all islands share.
    pub(crate) fn share(&self) -> Share {
        match (self.background, &self.root) {
            (true, _) => Share::Background,
            (false, Some(_)) => Share::Tool,
            (false, None) => Share::Function,
        }
    }

    /// Whether a zygote can fork the island. Islands with tools, an address or low priority need
    /// namespaces or settings that no other island had.
    pub(crate) fn fits_a_zygote(&self) -> bool {
        self.root.is_none() && self.network == Network::None && !self.background
    }
}

/// The request for an island's program; `program` is its path on the island, if it has one.
pub(crate) fn exec_request(spec: &Spec, program: Option<String>) -> ExecRequest {
    let (args, env, folder) = (spec.args.clone(), spec.env.clone(), spec.folder.clone());
    ExecRequest { program, args, env, folder }
}

/// Launcher to zygote: fork an island.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForkRequest {
    /// The program; none if the request for the program follows on the island's control socket.
    pub(crate) go: Option<ExecRequest>,
}

/// Zygote to launcher: the island has ended, or could not be made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForkReport {
    pub(crate) end: Result<Exit, String>,
    /// The zygote waits for another island; otherwise the zygote ends.
    pub(crate) free: bool,
}

/// What an island reaches.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Network {
    /// Nothing: in its network namespace not even loopback is up.
    None,
    /// Itself: in its network namespace loopback alone is up. A unix socket in its root may lead
    /// further.
    Loopback,
    /// An address, which the server assigns in the island's own namespace before the program
    /// starts.
    Address {
        /// Name servers.
        dns: Vec<IpAddr>,
    },
}

/// What an island may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessBounds {
    /// Bytes, for each process, and for all together where the host has cgroups.
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
    /// The bounds of an island with these resources and `tmp` bytes in a private /tmp.
    pub(crate) fn of(resources: &Resources, tmp: u64) -> Self {
        let file_size = match &resources.disk {
            Some(disk) => disk.bytes,
            None => resources.tmp,
        };
        let Resources { memory, processes, .. } = *resources;
        Self { memory, processes, tmp, files: OPEN_FILES, file_size }
    }
}

/// The root of an island that runs tools of the host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToolRoot {
    pub(crate) binds: Vec<BindMount>,
    /// Symbolic links: path and target.
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
