//! Islands as jails: each one's root is a ZFS clone, and everything that it had is given back by a janitor.
//!
//! ```text
//! server ──zfs, mount, rctl, ifconfig──▶ root, devices, limits, address
//!   │ ────Prepare──▶ launcher ──jail_set, fork, jail_attach──▶ first process of the island
//!   │ ◀───Event─────     │ (parent of all islands; removes each one's jail at its end)
//!   └───────────Go, descriptors (control socket)──────▶ exec
//! ```
//!
//! What must always hold: what builds argument vectors and reads text has no `cfg` and is tested everywhere; only what
//! needs FreeBSD's own system calls (launcher, child, sys) is compiled for it alone. Whatever is made for an island is in
//! its estate before it is made, and the estate goes to the janitor however the island ends.

#[cfg(target_os = "freebsd")]
mod child;
pub mod devices;
mod environment;
mod host;
pub mod jails;
pub mod janitor;
#[cfg(target_os = "freebsd")]
mod launch_error;
#[cfg(target_os = "freebsd")]
pub(crate) mod launcher;
mod making;
mod measure;
pub mod mounts;
mod owned;
pub mod params;
pub mod plan;
mod probe;
pub mod protocol;
mod reason;
mod resources;
pub mod rules;
#[cfg(any(target_os = "freebsd", test))]
mod settling;
pub mod storage;
mod sweep;
#[cfg(target_os = "freebsd")]
mod sys;
pub mod teardown;
pub mod usage;

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

/// How long the end of the server waits for everything to be given back; the next start finds the rest.
const CLOSE_WAIT: Duration = Duration::from_secs(20);

/// The backend; see the module.
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
    /// Sees that the host is prepared, gives back what an earlier start left, and starts the launcher.
    pub async fn start(options: Options) -> Result<Arc<Self>, StartError> {
        Self::start_on(options, HostEnvironment::host()).await
    }

    /// The same on another ground than this host.
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
        let plan = plan::plan(spec, base, lease.as_ref().map(|lease| lease.address()))?;
        let id = IslandId::mint();
        let mut resources = JailResources::new(id.clone());
        let user = self.user(spec, &mut resources)?;
        let owned = self.owners.hold(resources)?;
        // In a task of its own, for a command that is cut off may do its work after that was undone.
        let making = tokio::spawn(owned.make(plan, spec.setup.resources.clone(), user, lease));
        let (owned, made) = making.await.map_err(refused)??;
        // SAFETY: the AsyncFd owns the descriptor, which an OwnedFd keeps open and the same for as long as it lives.
        let control = unsafe { AsyncFd::register(made) }
            .map_err(|error| StartError::Descriptors(error.into()))?;
        let unsent = send(&control, spec, &stdio).await.err();
        drop(stdio);
        let exit = Box::pin(async move { ended(owned, control, unsent).await });
        Ok(Started { id, exit })
    }

    /// The user of an island: a function's is its own until all is given back.
    fn user(&self, spec: &Spec, resources: &mut JailResources) -> Result<u32, StartError> {
        let user = match &spec.setup.rights {
            Rights::Function => {
                resources._user = self.host.users.take();
                resources._user.as_ref().map(|uid| uid.host_id())
            }
            Rights::Tool(tool) => self.host.users.tool_id(tool.purpose),
        };
        user.ok_or_else(|| StartError::Unsupported("only root can make jails; run as root".into()))
    }
}

/// Tells an island what to become, within its deadline.
async fn send(control: &AsyncFd<OwnedFd>, spec: &Spec, stdio: &Stdio) -> std::io::Result<()> {
    let function = matches!(spec.setup.rights, Rights::Function);
    let (program, file) = match &spec.program {
        // Its root is made with it.
        Program::File(_) if function => (Some(PROGRAM_PATH.to_owned()), None),
        Program::File(file) => (None, Some(file.as_raw_fd())),
        Program::Path(path) => (Some(path.clone()), None),
    };
    let go = ExecRequest {
        program,
        args: spec.args.clone(),
        env: spec.env.clone(),
        folder: spec.folder.clone(),
    };
    let fds: Vec<_> = stdio.descriptors().map(|fd| fd.as_raw_fd()).chain(file).collect();
    let mut outgoing = Outgoing::new(&go, &fds)?;
    let send = control.async_io(Interest::WRITABLE, |socket| outgoing.advance(socket.as_raw_fd()));
    // A launcher that stands still takes nothing.
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "nobody took its program");
    timeout(spec.bounds.deadline, send).await.unwrap_or_else(|_| Err(late()))
}

/// Waits for the end of an island and tells a program's end from a failure to become it.
async fn ended(
    mut owned: OwnedResources,
    control: AsyncFd<OwnedFd>,
    unsent: Option<std::io::Error>,
) -> Result<Exit, StartError> {
    let exit = owned.end().await?;
    if exit.code == Some(0) && unsent.is_none() {
        return Ok(exit);
    }
    // The control socket closes on exec, so what it holds now was written by our own code.
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
        self.host.link.kill(id);
    }

    fn list(&self) -> Vec<IslandId> {
        let mut all = self.host.link.list();
        all.extend(self.owners.list());
        all.extend(self.janitor.list());
        all.sort();
        all.dedup();
        all
    }

    fn seen(&self) -> BoxFuture<'_, Result<Vec<LiveIsland>, StartError>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for ListedIsland { id, number, since, killed } in self.host.link.islands().await? {
                let usage = self.host.usage(&id);
                let (path, hostname) = (self.host.run.join(id.as_str()), params::HOSTNAME.into());
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
        Capabilities { overlays: false, addresses, usage: self.host.counts }
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
            self.host.link.close().await;
            let until = Instant::now() + CLOSE_WAIT;
            // Whoever waits for an island has heard of its end by now, and is about to let it go.
            let _ = timeout_at(until, self.owners.given()).await;
            let left = self.janitor.drain(until.saturating_duration_since(Instant::now())).await;
            if !left.is_empty() {
                tracing::warn!(?left, "the next start gives back what is still busy");
            }
        })
    }
}

/// What this host can do about addresses, with nothing changed on it.
pub async fn addresses(pools: &::host::net::Pools) -> Option<Finding> {
    probe::addresses(&::host::exec::Host, pools).await
}

/// What this host isolates and limits, found out without a backend.
pub async fn findings(options: &Options) -> Vec<Finding> {
    probe::findings(&HostEnvironment::host(), options).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Bounds, Limits, Resources};

    #[tokio::test]
    async fn an_island_that_takes_no_program_is_not_waited_for_without_end() {
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
        // SAFETY: the AsyncFd owns the descriptor, which an OwnedFd keeps open and the same for as long as it lives.
        let near = unsafe { AsyncFd::register(near) }.unwrap();
        let error = send(&near, &spec, &stdio).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        drop(far);
        let error = send(&near, &spec, &stdio).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
}
