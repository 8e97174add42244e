//! What islands are made with on this host: its commands, storage, launcher, users, and what its kernel can do; and the
//! making of one, step by step.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::causes::chain;
use host::exec::{Command, ExecError, Executor, Shared};
use host::net::{Lease, Ledger, Pools, alias};
use host::zfs::Zfs;

use crate::backend::{Exit, Finding, StartError};
use crate::backend::{Jails, Options};
use crate::freebsd::environment::HostEnvironment;
use crate::freebsd::mounts::{self, Writers};
use crate::freebsd::plan::{self, IslandPlan, Root};
use crate::freebsd::protocol::JailRequest;
use crate::freebsd::resources::JailResources;
use crate::freebsd::storage::Storage;
use crate::freebsd::{devices, measure, params, probe, rules};
use crate::id::IslandId;
use crate::launcher::client::{LauncherClient, LauncherConfig};
use crate::launcher::uids::UidPool;
use crate::launcher::wire;
use crate::spec::Limits;

/// A host that islands can be made on.
pub struct Host {
    pub(super) exec: Shared,
    pub(super) storage: Arc<Storage>,
    /// The folder that all roots lie in.
    pub(super) run: PathBuf,
    pub(super) link: LauncherClient,
    pub(super) users: Arc<UidPool>,
    pub(super) writers: Writers,
    /// What a jail can be allowed.
    pub(super) permissions: Vec<String>,
    /// Whether the kernel counts resources.
    pub(super) counts: bool,
    /// Processors of the host.
    pub(super) processors: u64,
    /// Bytes of address space of a Go program that does nothing.
    pub(super) base: AtomicU64,
    pub(super) pools: Pools,
    pub(super) ledger: Ledger,
}

/// The socket on which an island is told what to become.
type Control = std::os::fd::OwnedFd;

impl Host {
    /// Sees that the host is prepared, and starts the launcher.
    pub(super) async fn open(
        options: &Options,
        environment: HostEnvironment,
    ) -> Result<(Self, Vec<Finding>), StartError> {
        let findings = probe::findings(&environment, options).await;
        let HostEnvironment { exec, root, open } = environment;
        let missing = findings.iter().find(|finding| finding.required && finding.remedy.is_some());
        if let Some(Finding { name, detail, remedy, .. }) = missing {
            let remedy = remedy.as_deref().unwrap_or_default();
            return Err(StartError::Unsupported(format!("{name}: {detail}; {remedy}")));
        }
        let Some(jails) = &options.jails else {
            return Err(StartError::Unsupported("no dataset is configured".into()));
        };
        probe::load_modules(&*exec).await.map_err(refused)?;
        devices::prepare(&*exec).await?;
        let run = jails.layout.folder_of(&jails.layout.run());
        let run = run.ok_or_else(|| refused("the islands' folder is none of ours"))?;
        let launch = LauncherConfig::new(options.launcher.clone(), &serde_json::Value::Null)?;
        let host = Self {
            storage: Storage::opened_by(Zfs::new(exec.clone()), jails.layout.clone(), open),
            // The kernel tells of jails and mounts by their real paths.
            run: run.canonicalize().unwrap_or(run),
            link: LauncherClient::start(launch).await?,
            users: UidPool::new(root),
            writers: Writers::default(),
            permissions: params::permissions(&*exec).await?,
            counts: rules::enabled(&*exec).await,
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
            base: AtomicU64::new(jails.address_space.unwrap_or(measure::UNMEASURED)),
            pools: options.pools.clone(),
            ledger: ledger(&*exec, &jails.ledger).await?,
            exec,
        };
        Ok((host, findings))
    }

    /// Takes what was measured of the toolchain, or measures it, which takes a while; until then islands have what one
    /// was seen to take.
    pub(super) async fn calibrate(&self, jails: &Jails) {
        let zfs = Zfs::new(self.exec.clone());
        let known = measure::known(&zfs, &jails.layout).await;
        let found = match known {
            Some(base) => Ok(base),
            None => measure::measure(&*self.exec, &zfs, &jails.layout, &jails.scratch).await,
        };
        match found {
            Ok(base) => self.base.store(base, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "the address space of an empty program is not known")
            }
        }
    }

    /// Removes the aliases that an earlier start left, and sets aside the addresses that the host and `others` have. What
    /// is lent already is left alone. The error says why islands can have no addresses.
    pub(super) async fn reconcile_addresses(&self, others: Vec<IpAddr>) -> Result<(), String> {
        let done = alias::reconcile(&*self.exec, &self.ledger, &self.pools, others).await;
        done.map_err(|error| chain(&error))
    }

    /// Makes an island up to the moment when it waits to be told what to become. Each step is in `resources` before it is
    /// taken.
    pub(super) async fn make(
        &self,
        plan: &IslandPlan,
        limits: &Limits,
        user: u32,
        lease: Option<Arc<Lease>>,
        resources: &mut JailResources,
    ) -> Result<Control, StartError> {
        let id = resources.id.clone();
        let exec = &*self.exec;
        let writing = self.writers.take(plan.writes()).map_err(|folder| {
            StartError::Refused(format!("another island may write {}", folder.display()))
        })?;
        resources.writing = Some(writing);
        resources.root = true;
        let root = self.root(&id, plan).await?;
        for (at, mount) in &plan.mounts {
            let at = root.join(at.strip_prefix("/").unwrap_or(at));
            resources.mounts.push(at.clone());
            mounts::mount(exec, mount, &at).await.map_err(refused)?;
        }
        if self.counts {
            resources.rules = true;
            let wanted = rules::rules(&id, plan, limits, self.processors);
            rules::add(exec, &wanted).await.map_err(refused)?;
        }
        if let Some(lease) = lease {
            resources.lease = Some(lease.clone());
            lease.assign(id.as_str());
            alias::put(exec, &self.ledger, &lease).await.map_err(refused)?;
        }
        self.prepare(&id, plan, user, &root, resources)
    }

    async fn root(&self, id: &IslandId, plan: &IslandPlan) -> Result<PathBuf, StartError> {
        let root = match &plan.root {
            Root::Function(program) => self.storage.function_root(id, program).await,
            Root::Tool(pieces) => {
                let pieces = pieces.clone();
                let add = move |root: &Path| plan::add_pieces(root, &pieces);
                self.storage.tool_root(id, add).await
            }
        };
        Ok(root.map_err(refused)?.folder)
    }

    fn prepare(
        &self,
        id: &IslandId,
        plan: &IslandPlan,
        user: u32,
        root: &Path,
        resources: &mut JailResources,
    ) -> Result<Control, StartError> {
        let root = root.to_str().ok_or_else(|| refused("its root has no name in UTF-8"))?;
        let jail = params::parameters(id, root, devices::RULESET, plan.reach, &self.permissions);
        let prepare = JailRequest {
            id: id.to_string(),
            jail,
            last: params::last_denial(id, &self.permissions),
            user,
            bounds: plan.bounds,
            memory: plan.memory,
            background: plan.background,
        };
        let (control, far) = wire::pair().map_err(StartError::Descriptors)?;
        resources.jail = true;
        resources.exit = Some(self.link.prepare(id, prepare, vec![far], None)?);
        Ok(control)
    }
}

impl JailResources {
    /// Waits for the end of the island.
    pub(super) async fn end(&mut self) -> Result<Exit, StartError> {
        let Some(exit) = &mut self.exit else {
            return Err(refused("its end was waited for twice"));
        };
        let ended = exit.await;
        self.exit = None;
        match ended {
            Ok(Ok(exit)) => {
                self.jail = false;
                // Before anybody hears of the end, who may have the next island write the same folder.
                self.writing = None;
                Ok(exit)
            }
            Ok(Err(error)) => Err(StartError::Refused(error)),
            Err(_) => Err(StartError::Launcher("it forgot an island".into())),
        }
    }
}

/// Where the aliases are remembered that were added since this host was booted.
async fn ledger(exec: &dyn Executor, path: &Path) -> Result<Ledger, StartError> {
    let boot = boot(exec).await.map_err(refused)?;
    Ledger::open(path.to_owned(), boot.trim()).map_err(refused)
}

/// What differs from one start of this host to the next. The time of the start does, but it also changes when the clock
/// is set, so it only stands in where a kernel has nothing better. -x prints what is no text in hexadecimal digits.
async fn boot(exec: &dyn Executor) -> Result<String, ExecError> {
    let number = Command::program("sysctl").args(["-n", "-x", "kern.boot_id"]);
    let output = exec.run(&number).await.and_then(|output| output.success(&number));
    match output {
        Ok(text) if text.contains("Dump:0x") => Ok(text),
        _ => {
            let time = Command::program("sysctl").args(["-n", "kern.boottime"]);
            exec.run(&time).await?.success(&time)
        }
    }
}

/// An error with its causes, as the reason why an island cannot be made.
pub(super) fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    StartError::Refused(chain(&*error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Script;

    #[tokio::test]
    async fn a_start_of_the_host_is_known_by_a_number_that_no_clock_changes() {
        let number = "Format: Length:16 Dump:0x2f1d8c0be1a94c6a9d3e0f5a7b6c8d9e\n";
        let asked = "sysctl -n -x kern.boot_id";
        let script = Script::new().expect(asked, 0, number, "");
        assert_eq!(boot(&script).await.unwrap(), number);
        let unknown = "sysctl: unknown oid 'kern.boot_id'\n";
        let time = "{ sec = 1763700000, usec = 5 } Fri Nov 21 04:40:00 2025\n";
        let script = Script::new().expect(asked, 1, "", unknown);
        let script = script.expect("sysctl -n kern.boottime", 0, time, "");
        assert_eq!(boot(&script).await.unwrap(), time);
    }
}
