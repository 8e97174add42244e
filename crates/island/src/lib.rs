//! Islands: sandboxes with one process, which fetch, build and run are three uses of.
//!
//! [`Islands`] is what the rest of the program uses: it starts an island for a [`Spec`], gives it its input, reads
//! bounded output until its process ends or a limit is met, and hands back an [`Outcome`]. Below it lies the seam to
//! the operating system, the small trait [`Backend`]: namespaces on Linux, jails on FreeBSD.
//!
//! What must always hold: an island serves one use and is destroyed after it; its end is reported only when nothing
//! inside runs any more; a wait that is dropped kills its island.

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
pub use registry::table::State;
pub use run::islands::Islands;
pub use run::outcome::{Ending, Outcome};
pub use select::{addresses, choose, findings, run_launcher};
pub use spec::{
    Bind, Bounds, Disk, Label, Limits, Overlay, Program, Purpose, Resources, Rights, Setup, Spec,
    ToolRights,
};
