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
mod spec;

pub use backend::{
    Backend, Exit, Finding, Jails, LiveIsland, Options, StartError, Started, Stdio, Usage,
    addresses, choose, findings,
};
pub use freebsd::{Swept, sweep};
pub use id::IslandId;
#[doc(hidden)]
pub use launcher::wire;
pub use observer::{KillReason, Kind, Observer};
pub use pool::warm::{Function, PoolLimits, WarmPool};
pub use registry::info::IslandInfo;
pub use registry::table::State;
pub use run::islands::{Ending, Islands, Outcome};
pub use spec::{Bind, Disk, Label, Limits, Overlay, Program, Purpose, Rights, Spec, ToolRights};

/// Is a launcher of islands until the server goes away: the hidden subcommand `launcher`, whose stdin is the socket.
pub fn run_launcher() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    let ended = linux::launcher::run_on_stdin();
    #[cfg(target_os = "freebsd")]
    let ended = freebsd::launcher::run_on_stdin();
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sky-island launcher: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
