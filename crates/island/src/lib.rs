//! Islands: sandboxes with one process each. Fetching, building and running are their three uses.
//!
//! The rest of the program uses [`Islands`]: it starts an island for a [`Spec`], gives the island
//! its input, reads bounded output until the process ends or meets a limit, and returns an
//! [`Outcome`]. Each operating system is behind the small trait [`Backend`]: namespaces on Linux,
//! jails on FreeBSD.
//!
//! Invariants: an island serves one use and is destroyed after it; the end of an island is reported
//! only when nothing inside runs any more; a wait that is dropped kills its island.

mod backend;
pub mod freebsd;
mod id;
mod launcher;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
mod observer;
mod pool;
mod registry;
mod run;
mod select;
mod spec;

pub use backend::{
    Backend, Capabilities, Exit, Finding, FolderOwner, Jails, LiveIsland, Options, StartError,
    Started, Stdio, Usage, ZygoteReuse,
};
pub use freebsd::{Swept, sweep};
pub use id::IslandId;
#[doc(hidden)]
pub use launcher::wire;
pub use observer::{KillReason, Kind, Observer};
pub use pool::function::Function;
pub use pool::policy::PoolLimits;
pub use pool::warm::WarmPool;
pub use registry::info::IslandInfo;
pub use registry::table::IslandState;
pub use run::islands::Islands;
pub use run::outcome::{Ending, Outcome};
pub use select::{addresses, choose, findings, run_launcher};
pub use spec::{
    Bind, Bounds, Disk, Label, Limits, OPEN_FILES, Overlay, Program, Purpose, Resources, Rights,
    Setup, Spec, ToolRights,
};
