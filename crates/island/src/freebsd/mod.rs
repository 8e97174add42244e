//! Islands as jails: a function's root is a view of its artifact, a tool's root is a ZFS clone, and
//! a janitor removes what is left of each.
//!
//! ```text
//! server ──zfs, mount, rctl, ifconfig──▶ artifacts, the roots of tools, addresses
//!   │ ────Prepare──▶ launcher ──nmount, rctl_add_rule──▶ a function's root, devices, limits
//!   │                    ├─────jail_set, fork, jail_attach──▶ first process of the island
//!   │ ◀───Event─────     │ (parent of all islands; removes each jail and its parts at its end)
//!   └──ExecRequest, descriptors (control socket)──────▶ exec
//! ```
//!
//! Invariants: no command of the host runs for a call of a known function without an address; code
//! that builds argument vectors and reads text has no `cfg` and is tested everywhere; only code
//! that needs FreeBSD's own system calls (launcher, child, kernel, sys) is compiled for FreeBSD
//! alone. A step of making an island is noted in its resources before it is taken, and the
//! resources go to the janitor however the island ends.

#[cfg(target_os = "freebsd")]
mod child;
pub mod connections;
pub mod devices;
mod environment;
mod folders;
mod host;
pub mod jails;
pub mod janitor;
#[cfg(target_os = "freebsd")]
mod kernel;
#[cfg(target_os = "freebsd")]
mod launch_error;
#[cfg(target_os = "freebsd")]
pub(crate) mod launcher;
mod making;
mod measure;
pub mod mounts;
mod owned;
pub mod params;
pub mod parts;
pub mod plan;
mod probe;
pub mod protocol;
mod reason;
mod resources;
pub mod rlimits;
pub mod rules;
#[cfg(any(target_os = "freebsd", test))]
mod settling;
pub mod storage;
mod sweep;
#[cfg(target_os = "freebsd")]
mod sys;
pub mod teardown;
pub mod usage;
mod view;

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::host::net::alias::AliasError;
use common::causes::chain;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout, timeout_at};

use self::host::Host;
use self::janitor::Janitor;
use self::owned::{OwnedResources, ResourceOwners};
use self::reason::refused;
use self::resources::JailResources;
use self::storage::PROGRAM_PATH;
use crate::backend::{
    Backend, BoxFuture, Capabilities, Exit, Finding, FolderOwner, Jails, LiveIsland, Options,
    StartError, Started, Stdio, Usage,
};
use crate::id::IslandId;
use crate::launcher::client::ListedIsland;
use crate::launcher::wire::{ExecRequest, Incoming, Outgoing};
use crate::registry::table::IslandState;
use crate::spec::{Program, Purpose, Rights, Spec};

pub use environment::HostEnvironment;
pub use sweep::{Swept, sweep, sweep_on};

/// How long a server that stops waits for the teardown of its islands; the next start finds the
/// rest.
const CLOSE_WAIT: Duration = Duration::from_secs(20);

/// The backend of FreeBSD hosts.
pub struct FreeBsd {
    host: Arc<Host>,
    janitor: Arc<Janitor<IslandId>>,
    findings: Vec<Finding>,
    network: Result<(), NoAddresses>,
    owners: Arc<ResourceOwners>,
}

/// Why islands have no addresses.
#[derive(Debug, thiserror::Error)]
enum NoAddresses {
    #[error("no address pool is configured; set network.ip4, network.ip6 or network.pools")]
    NoPool,
    #[error("the interfaces of the address pools cannot be prepared")]
    Interfaces(#[source] AliasError),
}

impl FreeBsd {
    /// Checks that the host is prepared, removes what an earlier start left, and starts the
    /// launcher.
    pub async fn start(options: Options) -> Result<Arc<Self>, StartError> {
        Self::start_on(options, HostEnvironment::host()).await
    }

    /// As [`FreeBsd::start`], on a host or on a model of one.
    pub async fn start_on(
        options: Options,
        environment: HostEnvironment,
    ) -> Result<Arc<Self>, StartError> {
        let (host, findings) = Host::open(&options, environment).await?;
        let janitor = Arc::new(Janitor::new());
        let host = Arc::new(host);
        let mut network = Ok(());
        if options.jails.as_ref().is_some_and(|jails| jails.sweep) {
            let left = sweep::reconcile(&host, &janitor).await?;
            network = left.network.map_err(NoAddresses::Interfaces);
        }
        if options.pools.pools().is_empty() {
            network = Err(NoAddresses::NoPool);
        }
        if let Some(jails @ Jails { address_space: None, sweep: true, .. }) = options.jails {
            let host = host.clone();
            tokio::spawn(async move { host.calibrate(&jails).await });
        }
        let owners = ResourceOwners::new(host.clone(), janitor.clone());
        Ok(Arc::new(Self { host, janitor, findings, network, owners }))
    }

    async fn start_island(&self, spec: &Spec, stdio: Stdio) -> Result<Started, StartError> {
        let lease = spec.setup.address.clone();
        let base = self.host.base.load(Ordering::Relaxed);
        let mut plan = plan::plan(spec, base, lease.as_ref().map(|lease| lease.address()))?;
        if self.host.vnet && plan.function {
            plan.reach = plan.reach.by_own_stack();
        }
        let id = IslandId::mint();
        let mut resources = JailResources::new(id.clone());
        let user = self.user(spec, &mut resources)?;
        let owned = self.owners.hold(resources)?;
        // In a task of its own: a command that is cut off could take effect after its teardown.
        let making = tokio::spawn(owned.make(plan, spec.setup.resources.clone(), user, lease));
        let (owned, made) = making.await.map_err(refused)??;
        // SAFETY: the AsyncFd owns the OwnedFd, which keeps the same descriptor open while it
        // lives.
        let control = unsafe { AsyncFd::register(made) }
            .map_err(|error| StartError::Descriptors(error.into()))?;
        let unsent = send(&control, spec, &stdio).await.err();
        drop(stdio);
        let exit = Box::pin(async move { ended(owned, control, unsent).await });
        Ok(Started { id, exit })
    }

    /// The user of an island. A function's user is its own until the teardown is done.
    fn user(&self, spec: &Spec, resources: &mut JailResources) -> Result<u32, StartError> {
        let user = match &spec.setup.rights {
            Rights::Function => {
                resources._user = self.host.users.take();
                resources._user.as_ref().map(|uid| uid.host_id())
            }
            Rights::Tool(tool) => self.host.users.tool_id(tool.purpose),
        };
        user.ok_or_else(|| {
            StartError::Unsupported("only root can make jails; run sky-island as root".into())
        })
    }
}

/// Sends an island the program to execute, within its deadline.
async fn send(control: &AsyncFd<OwnedFd>, spec: &Spec, stdio: &Stdio) -> std::io::Result<()> {
    let function = matches!(spec.setup.rights, Rights::Function);
    let (program, file) = match &spec.program {
        // The root was made with the program in it.
        Program::File(_) if function => (Some(PROGRAM_PATH.to_owned()), None),
        Program::File(file) => (None, Some(file.as_raw_fd())),
        Program::Path(path) => (Some(path.clone()), None),
    };
    let request = ExecRequest {
        program,
        args: spec.args.clone(),
        env: spec.env.clone(),
        folder: spec.folder.clone(),
    };
    let fds: Vec<_> = stdio.descriptors().map(|fd| fd.as_raw_fd()).chain(file).collect();
    let mut outgoing = Outgoing::new(&request, &fds)?;
    let send = control.async_io(Interest::WRITABLE, |socket| outgoing.advance(socket.as_raw_fd()));
    // A launcher that is stopped reads nothing.
    let deadline = spec.bounds.deadline;
    let late = || {
        let text = format!("the island did not take its program within {deadline:?}");
        std::io::Error::new(std::io::ErrorKind::TimedOut, text)
    };
    timeout(deadline, send).await.unwrap_or_else(|_| Err(late()))
}

/// Waits for the exit of an island, and tells the exit of the program from a failure to execute it.
async fn ended(
    mut owned: OwnedResources,
    control: AsyncFd<OwnedFd>,
    unsent: Option<std::io::Error>,
) -> Result<Exit, StartError> {
    let exit = owned.end().await?;
    if exit.code == Some(0) && unsent.is_none() {
        return Ok(exit);
    }
    // The control socket closes on exec, so a text on it comes from the launcher's child and not
    // from the program.
    match (Incoming::default().next_now::<String>(control.get_ref().as_raw_fd()), unsent) {
        (Ok(Some((reason, _))), _) => Err(StartError::Refused(reason)),
        (_, Some(error)) => Err(StartError::Descriptors(error)),
        (_, None) => Ok(exit),
    }
}

impl Backend for FreeBsd {
    fn start<'a>(
        &'a self,
        spec: &'a Spec,
        stdio: Stdio,
    ) -> BoxFuture<'a, Result<Started, StartError>> {
        Box::pin(self.start_island(spec, stdio))
    }

    fn kill(&self, id: &IslandId) {
        self.host.launcher.kill(id);
    }

    fn list(&self) -> Vec<IslandId> {
        let mut all = self.host.launcher.list();
        all.extend(self.owners.list());
        all.extend(self.janitor.list());
        all.sort();
        all.dedup();
        all
    }

    fn seen(&self) -> BoxFuture<'_, Result<Vec<LiveIsland>, StartError>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for ListedIsland { id, number, since, killed } in self.host.launcher.islands().await? {
                let usage = self.host.usage(&id);
                let (path, hostname) = (self.host.folder(&id), params::HOSTNAME.into());
                all.push(LiveIsland { id, number, since, killed, path, hostname, usage });
            }
            Ok(all)
        })
    }

    fn aside(&self) -> Vec<(IslandId, IslandState)> {
        self.janitor.list().into_iter().map(|id| (id, IslandState::Ending)).collect()
    }

    fn capabilities(&self) -> Capabilities {
        let addresses = self.network.as_ref().map(|_| ()).map_err(|error| chain(error));
        let ahead = Err(probe::AHEAD.to_owned());
        Capabilities {
            overlays: false,
            addresses,
            usage: self.host.counts,
            ahead,
            // A jail without addresses has no loopback for the go command.
            gates: false,
        }
    }

    fn owner(&self, purpose: Purpose) -> Option<FolderOwner> {
        self.host.users.tool_id(purpose).map(FolderOwner::new)
    }

    fn usage<'a>(&'a self, islands: &'a [IslandId]) -> BoxFuture<'a, HashMap<IslandId, Usage>> {
        let used = |id: &IslandId| Some((id.clone(), self.host.usage(id)?));
        Box::pin(std::future::ready(islands.iter().filter_map(used).collect()))
    }

    fn free_memory(&self) -> Option<f64> {
        #[cfg(target_os = "freebsd")]
        return sys::free_memory();
        #[cfg(not(target_os = "freebsd"))]
        None
    }

    fn findings(&self) -> Vec<Finding> {
        self.findings.clone()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.owners.close();
            self.host.launcher.close().await;
            let until = Instant::now() + CLOSE_WAIT;
            // The callers know that their islands have ended, and are about to drop them.
            let _ = timeout_at(until, self.owners.empty()).await;
            let left = self.janitor.drain(until.saturating_duration_since(Instant::now())).await;
            if !left.is_empty() {
                tracing::warn!(?left, "these islands are still busy; the next start removes them");
            }
        })
    }
}

/// What islands with addresses reach on this host; changes nothing on it.
pub async fn addresses(pools: &::host::net::Pools) -> Option<Finding> {
    probe::addresses(&::host::exec::Host, pools).await
}

/// What this host isolates and limits, without a backend.
pub async fn findings(options: &Options) -> Vec<Finding> {
    probe::findings(&HostEnvironment::host(), options).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Bounds, Limits, Resources};

    #[tokio::test]
    async fn an_island_that_takes_no_program_is_given_up_at_its_deadline() {
        let (near, far) = crate::launcher::wire::pair().unwrap();
        nix::sys::socket::setsockopt(&near, nix::sys::socket::sockopt::SndBuf, &4096).unwrap();
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&near, flags).unwrap();
        let program = || std::fs::File::open("/dev/null").unwrap();
        let resources =
            Resources { memory: 1, processes: 1, processor_time: None, tmp: 1, disk: None };
        let bounds = Bounds { deadline: Duration::from_millis(50), output: 1 };
        let limits = Limits { resources, bounds };
        let mut spec = Spec::function(Arc::new(program()), limits);
        spec.env.push(format!("LONG={}", "x".repeat(100_000)));
        let stdio = Stdio {
            stdin: program().into(),
            stdout: program().into(),
            stderr: program().into(),
            arguments: None,
        };
        // SAFETY: the AsyncFd owns the OwnedFd, which keeps the same descriptor open while it
        // lives.
        let near = unsafe { AsyncFd::register(near) }.unwrap();
        let error = send(&near, &spec, &stdio).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        drop(far);
        let error = send(&near, &spec, &stdio).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
}
