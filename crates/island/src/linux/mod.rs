//! Islands on Linux: namespaces that no two share at a time, with cgroups, landlock and a system-call filter.
//!
//! ```text
//! server ──Request──▶ launcher ──clone3──▶ (berth ──clone──▶) first process of the island
//!   │  ◀───Event─────     │ (one process per kind of root)
//!   └────────────Go, descriptors (control socket)──────▶ exec
//! ```
//!
//! Function islands do not depend on the function until they are sent the program, so some are made ahead
//! ([`Linux::refill`]); a new island then costs one message and one exec. Who finds none has one made by a message that
//! says all ([`Linux::start_at_once`]). Each serves one call.

mod cgroup;
mod child;
mod confine;
pub(crate) mod launcher;
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

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host::exec;
use host::net::Lease;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::cgroup::CgroupHome;
use self::launcher::{LauncherSetup, RootKind};
use self::network::{Cable, Network};
use self::prefork::Prefork;
use self::prepared::{Prepared, end_of, lost, prepare_by, wait};
use self::protocol::{IslandRequest, ProcessBounds};
use crate::backend::{Backend, Finding, LiveIsland, StartError, Started, Stdio, Usage};
use crate::backend::{BoxFuture, Options};
use crate::id::IslandId;
use crate::launcher::client::{LauncherClient, LauncherConfig, ListedIsland};
use crate::launcher::uids::{Uid, UidPool};
use crate::launcher::wire::{self, ExecRequest};
use crate::registry::table::State;
use crate::spec::{Limits, Program, Purpose, Rights, Spec, ToolRights};

/// How often, and how long, the removal of the server's groups is tried.
const HOME_RETRIES: usize = 200;
const HOME_RETRY: Duration = Duration::from_millis(5);
/// How long islands that were taken are not replaced.
const REFILL_WAIT: Duration = Duration::from_millis(20);
/// How long a launcher may take to make an island with an address.
const MADE_WAIT: Duration = Duration::from_secs(10);

/// The backend; see the module.
pub(crate) struct Linux {
    host: LauncherClient,
    functions: LauncherClient,
    home: Result<CgroupHome, String>,
    uids: Arc<UidPool>,
    network: Result<Arc<Network>, String>,
    ahead: Prefork<Prepared>,
    options: Options,
    closing: AtomicBool,
    /// Somebody is about to make islands ahead.
    refilling: AtomicBool,
    /// For the tasks that outlive the call that they were started by.
    me: std::sync::Weak<Linux>,
}

impl Linux {
    pub(crate) async fn start(options: Options) -> Result<Arc<Self>, StartError> {
        let home = CgroupHome::create();
        let launch = |place| {
            let orders = LauncherSetup { place, home: home.as_ref().ok().cloned() };
            LauncherConfig::new(options.launcher.clone(), &orders)
        };
        let host = LauncherClient::start(launch(RootKind::Host)?).await?;
        let network = Network::open(Arc::new(exec::Host), &options.pools).await;
        let (zones, addresses) = (options.zones.clone(), network.is_ok());
        let functions = launch(RootKind::Functions { zones, addresses })?;
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
            refilling: AtomicBool::new(false),
            me: me.clone(),
        });
        backend.refill();
        Ok(backend)
    }

    /// Makes function islands ahead until there are as many as there should be.
    fn refill(&self) {
        while !self.closing.load(Ordering::Relaxed) {
            let Some(bounds) = self.ahead.wanted() else { return };
            // The next call that finds none tries again, and reports what is wrong.
            let nothing = protocol::Network::None;
            let Ok(prepared) = self.prepare_function(bounds, nothing) else {
                return;
            };
            self.ahead.add(bounds, prepared);
        }
    }

    /// The same in a moment, for all calls that come until then: whoever finds none made ahead is served by one that is
    /// told at once what to become, which takes less altogether.
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
        prepare_by(&self.functions, a_function(&id, uid.as_ref(), bounds, network), uid)
    }

    /// Starts a function on a new island, all in one message.
    fn start_at_once(
        &self,
        spec: &Spec,
        program: &File,
        stdio: Stdio,
    ) -> Result<Started, StartError> {
        let (id, uid) = (IslandId::mint(), self.uids.take());
        let bounds = ProcessBounds::of(&spec.limits, spec.limits.tmp);
        let prepare = a_function(&id, uid.as_ref(), bounds, protocol::Network::None);
        let prepare = IslandRequest { go: Some(go(spec, None)), ..prepare };
        let program = program.as_fd().try_clone_to_owned().map_err(StartError::Descriptors)?;
        let exit = self.functions.prepare(&id, prepare, stdio.with(program), uid)?;
        Ok(Started { id, exit: Box::pin(end_of(exit)) })
    }

    fn prepare_tool(&self, tool: &ToolRights, limits: &Limits) -> Result<Prepared, StartError> {
        let prepare = IslandRequest {
            id: IslandId::mint().to_string(),
            host_id: self.owner(tool.purpose),
            network: match tool.purpose {
                Purpose::Fetch => protocol::Network::Host,
                Purpose::Build => protocol::Network::None,
            },
            bounds: ProcessBounds::of(limits, 0),
            background: tool.background,
            root: Some(tools::root(tool)),
            go: None,
        };
        prepare_by(&self.host, prepare, None)
    }

    /// The oldest of the islands made ahead that still lives.
    fn take_ahead(&self, limits: &Limits) -> Option<Prepared> {
        let bounds = ProcessBounds::of(limits, limits.tmp);
        while let Some(mut prepared) = self.ahead.take(bounds) {
            match prepared.exit.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return Some(prepared),
                ended => {
                    tracing::warn!(island = %prepared.id, ?ended, "an island made ahead is gone")
                }
            }
        }
        None
    }

    /// A new island with an address, which it has when this returns. None of those is made ahead.
    async fn connect_function(
        &self,
        limits: &Limits,
        lease: Arc<Lease>,
    ) -> Result<(Prepared, Cable), StartError> {
        let network = self.network.as_ref().map_err(|why| StartError::Unsupported(why.clone()))?;
        let (bounds, dns) = (ProcessBounds::of(limits, limits.tmp), lease.dns().to_vec());
        let mut prepared = self.prepare_function(bounds, protocol::Network::Address { dns })?;
        let namespace = match timeout(MADE_WAIT, prepared.namespace()).await {
            Ok(Ok(namespace)) => namespace,
            Ok(Err(error)) => return Err(lost(prepared, error).await),
            Err(_) => return Err(StartError::Refused(format!("not made within {MADE_WAIT:?}"))),
        };
        let cable = network.connect(lease, &prepared.id, namespace).await;
        Ok((prepared, cable.map_err(StartError::Refused)?))
    }

    async fn start_now(&self, spec: &Spec, stdio: Stdio) -> Result<Started, StartError> {
        let (prepared, cable) = match (&spec.rights, &spec.address) {
            (Rights::Function, None) => {
                self.refill_later();
                match (self.take_ahead(&spec.limits), &spec.program) {
                    (Some(prepared), _) => (prepared, None),
                    (None, Program::File(program)) => {
                        return self.start_at_once(spec, program, stdio);
                    }
                    (None, Program::Path(_)) => {
                        let bounds = ProcessBounds::of(&spec.limits, spec.limits.tmp);
                        (self.prepare_function(bounds, protocol::Network::None)?, None)
                    }
                }
            }
            (Rights::Function, Some(lease)) => {
                let connected = self.connect_function(&spec.limits, lease.clone());
                let (prepared, cable) = connected.await?;
                (prepared, Some(cable))
            }
            (Rights::Tool(tool), _) => (self.prepare_tool(tool, &spec.limits)?, None),
        };
        let (program, file) = match &spec.program {
            Program::File(file) => (None, Some(file.as_fd())),
            Program::Path(path) => (Some(path.clone()), None),
        };
        let go = go(spec, program);
        let mut fds = stdio.raw();
        fds.extend(file.map(|fd| fd.as_raw_fd()));
        // An island that failed to settle has closed its end; its exit, awaited below, tells why.
        let sent = wire::send(prepared.control.as_raw_fd(), &go, &fds);
        if let Err(error) = &sent {
            tracing::debug!(island = %prepared.id, %error, "the program could not be sent");
        }
        let id = prepared.id.clone();
        let exit = Box::pin(async move {
            let result = wait(prepared, sent.err()).await;
            drop(cable);
            result
        });
        Ok(Started { id, exit })
    }
}

/// A function's island, which is told on its control socket what to become, unless `go` is added.
fn a_function(
    id: &IslandId,
    uid: Option<&Uid>,
    bounds: ProcessBounds,
    network: protocol::Network,
) -> IslandRequest {
    let (id, host_id) = (id.to_string(), uid.map(Uid::host_id));
    IslandRequest { id, host_id, network, bounds, background: false, root: None, go: None }
}

/// What an island is to become; `program` is its path there, if it has one.
fn go(spec: &Spec, program: Option<String>) -> ExecRequest {
    let (args, env, folder) = (spec.args.clone(), spec.env.clone(), spec.folder.clone());
    ExecRequest { program, args, env, folder }
}

/// What this host isolates and limits, found out without a backend: for a host on which none starts.
pub(crate) fn findings() -> Vec<Finding> {
    let home = CgroupHome::create();
    let groups = home.as_ref().map(|_| ()).map_err(String::as_str);
    let findings = probe::findings(groups);
    if let Ok(home) = &home {
        home.remove();
    }
    findings
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
            let used = tokio::task::spawn_blocking(move || usage::of_islands(&numbers)).await;
            let used = used.unwrap_or_default();
            let seen = |ListedIsland { id, number, since, killed }| LiveIsland {
                id,
                number,
                since,
                killed,
                path: format!("/proc/{number}/root").into(),
                hostname: child::HOSTNAME.to_owned(),
                usage: used.get(&number).copied(),
            };
            Ok(all.into_iter().map(seen).collect())
        })
    }

    fn aside(&self) -> Vec<(IslandId, State)> {
        self.ahead.map(|prepared| (prepared.id.clone(), State::Prefork))
    }

    fn owner(&self, purpose: Purpose) -> Option<u32> {
        self.uids.tool_id(purpose)
    }

    fn network(&self) -> Result<(), String> {
        self.network.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn overlays(&self) -> bool {
        true
    }

    fn usage(&self, process: i32) -> Option<Usage> {
        usage::of_process(process)
    }

    fn free_memory(&self) -> Option<f64> {
        usage::free_memory()
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = probe::findings(self.home.as_ref().map(|_| ()).map_err(String::as_str));
        let network = self.network.as_ref().map(|_| ()).map_err(String::as_str);
        findings.extend(network::describe(&self.options.pools, network));
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
                // The groups of a launcher that was killed empty in the kernel's own time.
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
