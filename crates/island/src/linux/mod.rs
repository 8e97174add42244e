//! Islands on Linux: namespaces that no two islands share at the same time, with cgroups, landlock
//! and a system-call filter.
//!
//! ```text
//! server ──Request──▶ launcher ──clone3──▶ (zygote ──clone──▶) first process of the island
//!   │  ◀───Event─────     │ (one process for each kind of root)
//!   └────ExecRequest, descriptors (control socket)─────▶ exec
//! ```
//!
//! The island of a function does not depend on the function until it is sent the program, so some
//! islands are made ahead of calls ([`Linux::refill`]); a call on one costs one message and one
//! exec. A call that finds none has an island made by one message that includes the program
//! ([`Linux::start_at_once`]). Each island serves one call.

mod cgroup;
mod child;
mod confine;
mod devices;
mod execution;
mod fork;
mod function_root;
pub(crate) mod launcher;
mod loopback;
mod maker;
mod meter;
pub(crate) mod network;
mod prefork;
mod prepared;
mod probe;
mod protocol;
mod root;
mod seccomp;
mod sys;
mod tools;
mod usage;
mod watch;
mod zygote;

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::causes;
use host::exec;
use host::net::Lease;
use tokio::sync::oneshot;

use self::cgroup::error::CgroupError;
use self::cgroup::home::CgroupHome;
use self::cgroup::{left, manager};
use self::launcher::{LauncherSetup, RootKind};
use self::network::{Cable, Network, NetworkError};
use self::prefork::Prefork;
use self::prepared::{Prepared, end_of};
use self::protocol::{IslandRequest, ProcessBounds};
use self::usage::FirstProcesses;
use crate::backend::{
    Backend, BoxFuture, Capabilities, Finding, FolderOwner, LiveIsland, Options, StartError,
    Started, Stdio, Usage, ZygoteReuse,
};
use crate::id::IslandId;
use crate::launcher::client::{LauncherClient, ListedIsland};
use crate::launcher::config::LauncherConfig;
use crate::launcher::uids::{Uid, UidPool};
use crate::registry::table::IslandState;
use crate::spec::{Program, Purpose, Resources, Rights, Setup, Spec, ToolRights};

/// How often the removal of the server's groups is tried, and the pause in between.
const HOME_RETRIES: usize = 200;
const HOME_RETRY: Duration = Duration::from_millis(5);
/// The pause before islands that were taken are replaced.
const REFILL_WAIT: Duration = Duration::from_millis(20);

/// The backend of Linux.
pub(crate) struct Linux {
    host: LauncherClient,
    functions: LauncherClient,
    home: Result<CgroupHome, CgroupError>,
    uids: Arc<UidPool>,
    network: Result<Arc<Network>, NetworkError>,
    ahead: Prefork<Prepared>,
    options: Options,
    closing: AtomicBool,
    /// Those of the islands whose usage was asked last.
    firsts: FirstProcesses,
    /// A task will make islands ahead in a moment.
    refilling: AtomicBool,
    /// This backend, for tasks that outlive the call that started them.
    me: std::sync::Weak<Linux>,
}

impl Linux {
    pub(crate) async fn start(options: Options) -> Result<Arc<Self>, StartError> {
        let home = CgroupHome::create(manager::has_handed_over(&exec::Host).await);
        let launch = |root| {
            let setup =
                LauncherSetup { root, home: home.as_ref().ok().map(|home| home.folders().clone()) };
            let left = setup.home.clone();
            let config = LauncherConfig::new(options.launcher.clone(), &setup)?;
            Ok::<_, StartError>(config.on_replacement(move || left::remove(left.clone())))
        };
        let host = LauncherClient::start(launch(RootKind::Host)?).await?;
        let network = Network::open(Arc::new(exec::Host), &options.pools).await;
        let (zones, addresses) = (options.zones.clone(), network.is_ok());
        let reuse = options.reuse == ZygoteReuse::WhenClean;
        let functions = launch(RootKind::Functions { zones, addresses, reuse })?;
        let functions = match (LauncherClient::start(functions).await, &network) {
            (Err(error), Ok(network)) => {
                network.close().await;
                return Err(error);
            }
            (functions, _) => functions?,
        };
        let bounds = ProcessBounds::of(&options.function, options.function.tmp);
        let backend = Arc::new_cyclic(|me| Self {
            host,
            functions,
            home,
            uids: UidPool::new(nix::unistd::getuid().is_root()),
            network,
            ahead: Prefork::new(bounds, options.ahead),
            options,
            closing: AtomicBool::new(false),
            firsts: FirstProcesses::default(),
            refilling: AtomicBool::new(false),
            me: me.clone(),
        });
        backend.refill();
        Ok(backend)
    }

    /// Makes islands of functions ahead until there are enough.
    fn refill(&self) {
        while !self.closing.load(Ordering::Relaxed) {
            let Some(bounds) = self.ahead.wanted() else { return };
            // The next call that finds none tries again, and reports the error.
            let nothing = protocol::Network::None;
            let Ok(prepared) = self.prepare_function(bounds, nothing) else {
                return;
            };
            self.ahead.add(bounds, prepared);
        }
    }

    /// Makes islands ahead in a moment, once for all calls that come until then. A call that finds
    /// none meanwhile has an island made by one message, which takes less time altogether.
    fn refill_later(&self) {
        if self.refilling.swap(true, Ordering::AcqRel) {
            return;
        }
        let me = self.me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(REFILL_WAIT).await;
            if let Some(me) = me.upgrade() {
                me.refilling.store(false, Ordering::Release);
                me.refill();
            }
        });
    }

    fn prepare_function(
        &self,
        bounds: ProcessBounds,
        network: protocol::Network,
    ) -> Result<Prepared, StartError> {
        let uid = self.uids.take();
        let id = IslandId::mint();
        let host_id = uid.as_ref().map(Uid::host_id);
        let request = IslandRequest::of_function(&id, host_id, bounds, network);
        Prepared::by(&self.functions, id, request, uid)
    }

    /// Starts a function on a new island, by one message.
    fn start_at_once(
        &self,
        spec: &Spec,
        program: &File,
        stdio: Stdio,
    ) -> Result<Started, StartError> {
        let (id, uid) = (IslandId::mint(), self.uids.take());
        let resources = &spec.setup.resources;
        let bounds = ProcessBounds::of(resources, resources.tmp);
        let (host_id, none) = (uid.as_ref().map(Uid::host_id), protocol::Network::None);
        let request = IslandRequest::of_function(&id, host_id, bounds, none);
        let request = IslandRequest { go: Some(protocol::exec_request(spec, None)), ..request };
        let program = program.as_fd().try_clone_to_owned().map_err(StartError::Descriptors)?;
        let exit = self.functions.prepare(&id, request, stdio.with(program), uid)?;
        Ok(Started { id, exit: Box::pin(end_of(exit)) })
    }

    fn prepare_tool(
        &self,
        tool: &ToolRights,
        resources: &Resources,
    ) -> Result<Prepared, StartError> {
        let id = IslandId::mint();
        let host_id = self.uids.tool_id(tool.purpose);
        let request = tools::request(&id, host_id, tool, ProcessBounds::of(resources, 0));
        Prepared::by(&self.host, id, request, None)
    }

    /// The oldest island made ahead that still lives.
    fn take_ahead(&self, resources: &Resources) -> Option<Prepared> {
        let bounds = ProcessBounds::of(resources, resources.tmp);
        while let Some(mut prepared) = self.ahead.take(bounds) {
            match prepared.exit.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return Some(prepared),
                ended => {
                    tracing::warn!(island = %prepared.id, ?ended, "an island made ahead of calls has ended too early")
                }
            }
        }
        None
    }

    /// Makes an island with an address, which the island has when this returns. No such island is
    /// made ahead.
    async fn connect_function(
        &self,
        resources: &Resources,
        lease: Arc<Lease>,
    ) -> Result<(Prepared, Cable), StartError> {
        let network = self.network.as_ref();
        let network = network.map_err(|error| StartError::Unsupported(causes::chain(error)))?;
        let (bounds, dns) = (ProcessBounds::of(resources, resources.tmp), lease.dns().to_vec());
        let prepared = self.prepare_function(bounds, protocol::Network::Address { dns })?;
        let (prepared, namespace) = prepared.namespace().await?;
        let cable = network.connect(lease, &prepared.id, namespace).await;
        let cable = cable.map_err(|error| StartError::Step {
            step: "connecting the island to its network",
            source: Box::new(error),
        });
        Ok((prepared, cable?))
    }

    /// What the islands use that have these first processes.
    async fn usage_of(&self, firsts: Vec<i32>) -> HashMap<i32, Usage> {
        let home = self.home.as_ref().ok().map(|home| home.folders().clone());
        let read = move || usage::of_groups(home.as_ref(), &firsts);
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    async fn start_now(&self, spec: &Spec, stdio: Stdio) -> Result<Started, StartError> {
        let Setup { rights, resources, address } = &spec.setup;
        let (prepared, cable) = match (rights, address) {
            (Rights::Function, None) => {
                self.refill_later();
                match (self.take_ahead(resources), &spec.program) {
                    (Some(prepared), _) => (prepared, None),
                    (None, Program::File(program)) => {
                        return self.start_at_once(spec, program, stdio);
                    }
                    (None, Program::Path(_)) => {
                        let bounds = ProcessBounds::of(resources, resources.tmp);
                        (self.prepare_function(bounds, protocol::Network::None)?, None)
                    }
                }
            }
            (Rights::Function, Some(lease)) => {
                let connected = self.connect_function(resources, lease.clone());
                let (prepared, cable) = connected.await?;
                (prepared, Some(cable))
            }
            (Rights::Tool(tool), _) => (self.prepare_tool(tool, resources)?, None),
        };
        let (program, file) = match &spec.program {
            Program::File(file) => (None, Some(file.as_fd())),
            Program::Path(path) => (Some(path.clone()), None),
        };
        let request = protocol::exec_request(spec, program);
        let fds: Vec<_> = stdio.descriptors().chain(file).collect();
        // An island whose set-up failed has closed its end. Its exit, awaited below, tells why.
        let sent = prepared.send(&request, &fds).await;
        if let Err(error) = &sent {
            if error.kind() == std::io::ErrorKind::TimedOut {
                // An island that does not read would not end by itself.
                self.kill(&prepared.id);
            }
            tracing::debug!(island = %prepared.id, %error, "the program could not be sent to the island");
        }
        let id = prepared.id.clone();
        let exit = Box::pin(async move {
            let result = prepared.wait(sent.err()).await;
            drop(cable);
            result
        });
        Ok(Started { id, exit })
    }
}

/// The findings about a host on which the backend does not start.
pub(crate) async fn findings() -> Vec<Finding> {
    // Its drop removes it.
    let home = CgroupHome::create(manager::has_handed_over(&exec::Host).await);
    probe::findings(home.as_ref())
}

impl Backend for Linux {
    fn start<'a>(
        &'a self,
        spec: &'a Spec,
        stdio: Stdio,
    ) -> BoxFuture<'a, Result<Started, StartError>> {
        Box::pin(self.start_now(spec, stdio))
    }

    fn kill(&self, id: &IslandId) {
        self.functions.kill(id);
        self.host.kill(id);
        if self.ahead.remove(|prepared| prepared.id == *id).is_some() {
            self.refill();
        }
    }

    fn list(&self) -> Vec<IslandId> {
        let mut all = self.functions.list();
        all.extend(self.host.list());
        all
    }

    fn seen(&self) -> BoxFuture<'_, Result<Vec<LiveIsland>, StartError>> {
        Box::pin(async move {
            let (functions, tools) = tokio::join!(self.functions.islands(), self.host.islands());
            let all: Vec<_> = functions?.into_iter().chain(tools?).collect();
            let numbers: Vec<_> = all.iter().map(|island| island.number).collect();
            let used = self.usage_of(numbers).await;
            let seen = |ListedIsland { id, number, since, killed }| LiveIsland {
                id,
                number,
                since,
                killed,
                path: format!("/proc/{number}/root").into(),
                hostname: execution::HOSTNAME.to_owned(),
                usage: used.get(&number).copied(),
            };
            Ok(all.into_iter().map(seen).collect())
        })
    }

    fn aside(&self) -> Vec<(IslandId, IslandState)> {
        self.ahead.map(|prepared| (prepared.id.clone(), IslandState::Prefork))
    }

    fn capabilities(&self) -> Capabilities {
        let addresses = self.network.as_ref().map(|_| ()).map_err(|error| causes::chain(error));
        Capabilities { overlays: true, addresses, usage: true, ahead: Ok(()), gates: true }
    }

    fn owner(&self, purpose: Purpose) -> Option<FolderOwner> {
        self.uids.tool_id(purpose).map(FolderOwner::new)
    }

    fn usage<'a>(&'a self, islands: &'a [IslandId]) -> BoxFuture<'a, HashMap<IslandId, Usage>> {
        Box::pin(async move {
            let firsts = self.firsts.of(&self.functions, islands).await;
            let used = self.usage_of(firsts.values().copied().collect()).await;
            firsts.into_iter().filter_map(|(id, first)| Some((id, *used.get(&first)?))).collect()
        })
    }

    fn free_memory(&self) -> Option<f64> {
        usage::free_memory()
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = probe::findings(self.home.as_ref());
        findings.extend(network::describe(&self.options.pools, self.network.as_ref().err()));
        findings
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.closing.store(true, Ordering::Relaxed);
            self.ahead.clear();
            tokio::join!(self.functions.close(), self.host.close());
            if let Ok(network) = &self.network {
                network.close().await;
            }
            if let Ok(home) = &self.home {
                // The kernel takes a moment to empty the groups of a launcher that was killed.
                for _ in 0..HOME_RETRIES {
                    if home.remove() {
                        break;
                    }
                    tokio::time::sleep(HOME_RETRY).await;
                }
            }
        })
    }
}
