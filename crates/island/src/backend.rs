//! What the portable program asks of an operating system: to start, kill and list islands, and to
//! say what it can do.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::id::IslandId;
use crate::registry::table::IslandState;
use crate::spec::{Purpose, Resources, Spec};

/// A future that a trait object can return.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What starts and ends islands on one kind of operating system.
pub trait Backend: Send + Sync {
    /// Starts an island. Its process runs, or is about to, when this returns.
    fn start<'a>(
        &'a self,
        spec: &'a Spec,
        stdio: Stdio,
    ) -> BoxFuture<'a, Result<Started, StartError>>;

    /// Ends everything inside an island, without waiting. An island that is gone is no error.
    fn kill(&self, id: &IslandId);

    /// The islands whose end the system has not confirmed yet, including those made ahead.
    fn list(&self) -> Vec<IslandId>;

    /// The islands that the system has, including those made ahead, and what each uses.
    fn seen(&self) -> BoxFuture<'_, Result<Vec<LiveIsland>, StartError>>;

    /// The islands of [`Backend::list`] that no call or job uses: made ahead, or being torn down.
    fn aside(&self) -> Vec<(IslandId, IslandState)>;

    /// What this backend can do on this host.
    fn capabilities(&self) -> Capabilities;

    /// Who must own the folders of the host that a tool's islands write; none where the server may
    /// own them.
    fn owner(&self, purpose: Purpose) -> Option<FolderOwner>;

    /// What each of these islands uses now. An island whose usage is not known is left out.
    fn usage<'a>(&'a self, islands: &'a [IslandId]) -> BoxFuture<'a, HashMap<IslandId, Usage>>;

    /// The part of the host's memory that is free or can be freed at once, from 0 to 1; none where
    /// that is not known.
    fn free_memory(&self) -> Option<f64>;

    /// What this host isolates and limits, and what it does not.
    fn findings(&self) -> Vec<Finding>;

    /// Ends all islands and removes everything that was made for them.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a backend can do on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A spec may have an [`Overlay`](crate::Overlay).
    pub overlays: bool,
    /// Islands can have addresses, or why not.
    pub addresses: Result<(), String>,
    /// [`Backend::usage`] knows what an island uses.
    pub usage: bool,
    /// Islands are made ahead, before it is known which function they will run
    /// ([`Options::ahead`]), or why not.
    pub ahead: Result<(), String>,
    /// The island of a fetch has no network but loopback, and reaches a unix socket that is bound
    /// into its root. Otherwise it has the network of the host.
    pub gates: bool,
}

/// The user of the host that owns a folder which a tool's islands write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderOwner(u32);

impl FolderOwner {
    /// The owner with this user id and the group id of the same number.
    pub fn new(id: u32) -> Self {
        Self(id)
    }

    /// Makes a file or folder of the host this owner's.
    pub fn take(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.0), Some(self.0))
    }
}

/// The descriptors that an island's program runs on.
#[derive(Debug)]
pub struct Stdio {
    /// Read by the program.
    pub stdin: OwnedFd,
    /// Written by the program.
    pub stdout: OwnedFd,
    /// Written by the program.
    pub stderr: OwnedFd,
    /// The program's end of the socket on which it is called, descriptor 3; none where it is not
    /// called so.
    pub arguments: Option<OwnedFd>,
}

impl Stdio {
    /// The descriptors of the program, from 0 on.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let three = [&self.stdin, &self.stdout, &self.stderr];
        three.into_iter().chain(&self.arguments).map(AsFd::as_fd)
    }

    /// The descriptors of the program, from 0 on, and behind them the program's own.
    pub fn with(self, program: OwnedFd) -> Vec<OwnedFd> {
        let three = [self.stdin, self.stdout, self.stderr];
        three.into_iter().chain(self.arguments).chain([program]).collect()
    }
}

/// What an island uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory that it shares with no other process.
    pub memory: u64,
    /// Processor time since it started.
    pub processor: Duration,
}

/// An island as the system has it.
#[derive(Clone, Debug)]
pub struct LiveIsland {
    /// The island's name.
    pub id: IslandId,
    /// What the system knows the island by: its first process on Linux, its jail on FreeBSD.
    pub number: i32,
    /// When the island was asked for.
    pub since: Instant,
    /// The island was told to end.
    pub killed: bool,
    /// The root, as the host sees it.
    pub path: PathBuf,
    /// The host name inside.
    pub hostname: String,
    /// What all processes inside use; none where that is not known.
    pub usage: Option<Usage>,
}

/// An island that has started.
pub struct Started {
    /// The island's name.
    pub id: IslandId,
    /// Resolves when nothing inside runs any more.
    pub exit: BoxFuture<'static, Result<Exit, StartError>>,
}

/// How an island's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit status, or none after a signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The system killed something inside for want of memory.
    pub oom: bool,
}

/// Why an island could not be made: always a fault of the server or the host, never of the
/// function.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operating system refused a step.
    #[error("the island could not be made: {0}")]
    Refused(String),
    /// A step of the server itself failed.
    #[error("the island could not be made: {step} failed")]
    Step {
        /// The step.
        step: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process that makes islands failed.
    #[error("the launcher of islands failed: {0}")]
    Launcher(String),
    /// The system gave no pipe or descriptor.
    #[error("the system gave no descriptors for an island; raise the limit of open files")]
    Descriptors(#[source] std::io::Error),
    /// The host has no backend.
    #[error("this host cannot make islands: {0}")]
    Unsupported(String),
}

/// A means of isolation, and whether this host has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The means: `memory limit`.
    pub name: &'static str,
    /// How the host does it, or why the host does not.
    pub detail: String,
    /// What to do; none where the host does it.
    pub remedy: Option<String>,
    /// No island can be made without it.
    pub required: bool,
}

/// What a backend needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program, which is a launcher when its first argument says so.
    pub launcher: std::path::PathBuf,
    /// Go's archive of time zones, for functions that load one.
    pub zones: Option<std::path::PathBuf>,
    /// How much a function's island may use: islands are made ahead with it.
    pub function: Resources,
    /// How many function islands are made ahead.
    pub ahead: usize,
    /// What jails need; none for a host that makes islands of namespaces.
    pub jails: Option<Jails>,
    /// The addresses that islands may have.
    pub pools: host::net::Pools,
    /// Whether a process that forks the islands of functions may serve more than one.
    pub reuse: ZygoteReuse,
}

/// Whether the islands of functions may be forked by one zygote, one after the other (Linux).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZygoteReuse {
    /// A zygote serves another island if the last one has left nothing.
    #[default]
    WhenClean,
    /// A zygote serves one island and ends.
    Never,
}

/// What the backend with jails needs to know.
#[derive(Clone, Debug)]
pub struct Jails {
    /// The datasets and folders.
    pub layout: host::layout::Layout,
    /// The file that lists the aliases which the server has put on interfaces.
    pub ledger: std::path::PathBuf,
    /// Whether to refuse a host that cannot limit everything.
    pub require_limits: bool,
    /// Bytes of address space of a Go program that does nothing; none to measure them.
    pub address_space: Option<u64>,
    /// The folder for temporary files.
    pub scratch: std::path::PathBuf,
    /// Whether to remove what an earlier start left. Only the process that holds the state
    /// directory may.
    pub sweep: bool,
    /// Whether a function without an address has a network stack of its own.
    pub vnet: bool,
}
