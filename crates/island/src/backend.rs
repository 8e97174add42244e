//! The seam between the portable program and the operating system: what starts, kills and lists islands.

use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::id::IslandId;
use crate::registry::table::State;
use crate::spec::{Purpose, Spec};

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

    /// Ends everything that runs inside. It does not wait; an island that is gone is no error.
    fn kill(&self, id: &IslandId);

    /// The islands whose end the system has not confirmed yet, those made ahead included.
    fn list(&self) -> Vec<IslandId>;

    /// The islands that the system has, those made ahead included, and what each uses.
    fn seen(&self) -> BoxFuture<'_, Result<Vec<LiveIsland>, StartError>>;

    /// Those of [`Backend::list`] that nobody has in hand: made ahead, or being given back.
    fn aside(&self) -> Vec<(IslandId, State)>;

    /// The host's user and group id behind a tool's user, where it is not the server's own.
    fn owner(&self, purpose: Purpose) -> Option<u32>;

    /// Whether islands can have addresses, or why not, for whoever asked for one.
    fn network(&self) -> Result<(), String>;

    /// Whether a spec may have an [`Overlay`](crate::Overlay).
    fn overlays(&self) -> bool;

    /// What a process of an island uses now; none where that cannot be found out.
    fn usage(&self, process: i32) -> Option<Usage>;

    /// The part of the host's memory that is free or can be freed at once, from 0 to 1; none where that is not known.
    fn free_memory(&self) -> Option<f64>;

    /// What this host isolates and limits, and what it does not.
    fn findings(&self) -> Vec<Finding>;

    /// Ends all islands and gives back everything that was made for them.
    fn close(&self) -> BoxFuture<'_, ()>;
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
    /// The program's end of the socket on which it is called, descriptor 3; none where it is not called so.
    pub arguments: Option<OwnedFd>,
}

impl Stdio {
    /// The descriptors of the program, from 0 on.
    pub fn raw(&self) -> Vec<RawFd> {
        let three = [&self.stdin, &self.stdout, &self.stderr];
        three.into_iter().chain(&self.arguments).map(AsRawFd::as_raw_fd).collect()
    }

    /// The same, to be given away with the program's own.
    pub fn with(self, program: OwnedFd) -> Vec<OwnedFd> {
        let three = [self.stdin, self.stdout, self.stderr];
        three.into_iter().chain(self.arguments).chain([program]).collect()
    }
}

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory that nobody else shares.
    pub memory: u64,
    /// Processor time since it started.
    pub processor: Duration,
}

/// An island as the system has it.
#[derive(Clone, Debug)]
pub struct LiveIsland {
    /// Its name.
    pub id: IslandId,
    /// What the system knows it by: its first process on Linux, its jail on FreeBSD.
    pub number: i32,
    /// When it was asked for.
    pub since: Instant,
    /// It was told to end.
    pub killed: bool,
    /// Its root, as the host sees it.
    pub path: PathBuf,
    /// The name that it has for itself.
    pub hostname: String,
    /// What all its processes use; none where that cannot be found out.
    pub usage: Option<Usage>,
}

/// An island that has started.
pub struct Started {
    /// Its name.
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

/// An island could not be made; always our fault or the host's, never the function's.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operating system refused a step.
    #[error("the island could not be made: {0}")]
    Refused(String),
    /// The process that makes islands is gone.
    #[error("the launcher of islands is gone: {0}")]
    Launcher(String),
    /// A pipe or a descriptor could not be had.
    #[error("no descriptors for an island")]
    Descriptors(#[source] std::io::Error),
    /// The host has no backend.
    #[error("this host cannot make islands: {0}")]
    Unsupported(String),
}

/// One thing that a host can or cannot do for isolation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: `memory limit`.
    pub name: &'static str,
    /// How it is done, or why it is not.
    pub detail: String,
    /// What to do about it; none where it is done.
    pub remedy: Option<String>,
    /// No island is made without it.
    pub required: bool,
}

/// Chooses the backend of this host.
pub async fn choose(options: Options) -> Result<Arc<dyn Backend>, StartError> {
    #[cfg(target_os = "linux")]
    {
        Ok(crate::linux::Linux::start(options).await?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        Ok(crate::freebsd::FreeBsd::start(options).await?)
    }
}

/// What this host isolates and limits, where no backend could be started to say so.
pub async fn findings(options: &Options) -> Vec<Finding> {
    #[cfg(target_os = "linux")]
    {
        let _ = options;
        crate::linux::findings()
    }
    #[cfg(not(target_os = "linux"))]
    {
        crate::freebsd::findings(options).await
    }
}

/// What this host can do about addresses, with nothing changed on it; none where no pool is configured.
pub async fn addresses(pools: &host::net::Pools) -> Option<Finding> {
    #[cfg(target_os = "linux")]
    {
        crate::linux::network::finding(pools).await
    }
    #[cfg(not(target_os = "linux"))]
    {
        crate::freebsd::addresses(pools).await
    }
}

/// What a backend needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Our own executable, which is a launcher when its first argument says so.
    pub launcher: std::path::PathBuf,
    /// Go's archive of time zones, for functions that ask for one.
    pub zones: Option<std::path::PathBuf>,
    /// The limits of a function's island, which islands are made ahead with.
    pub function: crate::Limits,
    /// How many function islands are made ahead.
    pub ahead: usize,
    /// FreeBSD's datasets; elsewhere there are none.
    pub jails: Option<Jails>,
    /// The addresses that islands may have.
    pub pools: host::net::Pools,
}

/// What the backend of a FreeBSD host needs to know.
#[derive(Clone, Debug)]
pub struct Jails {
    /// Where everything lies.
    pub layout: host::layout::Layout,
    /// Where the aliases are remembered that are on interfaces.
    pub ledger: std::path::PathBuf,
    /// Whether to refuse a host that cannot limit everything.
    pub require_limits: bool,
    /// Bytes of address space of a Go program that does nothing; none to have it measured.
    pub address_space: Option<u64>,
    /// Our folder for what is made and removed again.
    pub scratch: std::path::PathBuf,
    /// Whether to give back what an earlier start left. Only whoever holds the state directory may.
    pub sweep: bool,
}
