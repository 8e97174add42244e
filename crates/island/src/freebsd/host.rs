//! What islands are made with on this host: its commands, storage, launcher, users, addresses, and
//! what its kernel can do.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::causes::chain;
use host::exec::{Command, ExecError, Executor, Shared};
use host::net::alias::{self, AliasError};
use host::net::{Ledger, Pools};
use host::zfs::Zfs;

use crate::backend::{Finding, Jails, Options, StartError, Usage};
use crate::freebsd::environment::HostEnvironment;
use crate::freebsd::mounts::Writers;
use crate::freebsd::reason::{refused, unsupported};
use crate::freebsd::storage::Storage;
use crate::freebsd::usage::{self, Counters};
use crate::freebsd::{devices, measure, params, probe, rules};
use crate::id::IslandId;
use crate::launcher::client::LauncherClient;
use crate::launcher::config::LauncherConfig;
use crate::launcher::uids::UidPool;

/// A prepared host.
pub struct Host {
    pub(super) exec: Shared,
    pub(super) storage: Arc<Storage>,
    /// The folder that has the roots of all islands.
    pub(super) run: PathBuf,
    pub(super) launcher: LauncherClient,
    pub(super) users: Arc<UidPool>,
    pub(super) writers: Writers,
    /// The permissions that a jail can have.
    pub(super) permissions: Vec<String>,
    /// Whether the kernel counts resources, so that rctl(8) can limit them.
    pub(super) counts: bool,
    /// Whether a function without an address has a network stack of its own.
    pub(super) vnet: bool,
    counters: Counters,
    /// The number of processors.
    pub(super) processors: u64,
    /// Bytes of address space that a Go program takes before it does anything.
    pub(super) base: AtomicU64,
    pub(super) pools: Pools,
    pub(super) ledger: Ledger,
}

impl Host {
    /// Checks that the host is prepared, and starts the launcher. Returns the findings of the
    /// check.
    pub(super) async fn open(
        options: &Options,
        environment: HostEnvironment,
    ) -> Result<(Self, Vec<Finding>), StartError> {
        let findings = probe::findings(&environment, options).await;
        let HostEnvironment { exec, root, open, counters } = environment;
        let missing = findings.iter().find(|finding| finding.required && finding.remedy.is_some());
        if let Some(Finding { name, detail, remedy, .. }) = missing {
            let remedy = remedy.as_deref().unwrap_or_default();
            return Err(StartError::Unsupported(format!("{name}: {detail}; {remedy}")));
        }
        let Some(jails) = &options.jails else {
            return Err(StartError::Unsupported("filesystem.zfs_dataset is not set".into()));
        };
        probe::load_modules(&*exec).await.map_err(refused)?;
        devices::prepare(&*exec).await.map_err(unsupported)?;
        let run = jails.layout.folder_of(&jails.layout.run());
        let run =
            run.ok_or_else(|| refused("the dataset of the islands has no folder in the layout"))?;
        let launch = LauncherConfig::new(options.launcher.clone(), &serde_json::Value::Null)?;
        let host = Self {
            storage: Storage::opened_by(Zfs::new(exec.clone()), jails.layout.clone(), open),
            // jls(8) and mount(8) list real paths.
            run: run.canonicalize().unwrap_or(run),
            launcher: LauncherClient::start(launch).await?,
            users: UidPool::new(root),
            writers: Writers::default(),
            permissions: params::permissions(&*exec).await.map_err(unsupported)?,
            counts: rules::enabled(&*exec).await,
            vnet: jails.vnet && params::makes_stacks(&*exec).await,
            counters,
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
            base: AtomicU64::new(jails.address_space.unwrap_or(measure::UNMEASURED)),
            pools: options.pools.clone(),
            ledger: ledger(&*exec, &jails.ledger).await?,
            exec,
        };
        Ok((host, findings))
    }

    /// The folder of an island's root.
    pub(super) fn folder(&self, id: &IslandId) -> PathBuf {
        self.run.join(id.as_str())
    }

    /// What an island uses; none where the kernel does not count resources.
    pub(super) fn usage(&self, id: &IslandId) -> Option<Usage> {
        self.counts.then(|| usage::of_island(&self.counters, id))?
    }

    /// Looks up the address space that the toolchain's programs take, or measures it, which takes a
    /// while. Until then islands have the address space of [`measure::UNMEASURED`].
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
                let error = chain(&error);
                tracing::warn!(%error, "islands have the address space that Go 1.26 takes");
            }
        }
    }

    /// Removes the aliases that an earlier start left, and reserves the addresses that the host and
    /// `others` have. A leased address stays as it is. The error says why islands can have no
    /// addresses.
    pub(super) async fn reconcile_addresses(&self, others: Vec<IpAddr>) -> Result<(), AliasError> {
        alias::reconcile(&*self.exec, &self.ledger, &self.pools, others).await
    }
}

/// The record of the aliases that were added since this host was booted.
async fn ledger(exec: &dyn Executor, path: &Path) -> Result<Ledger, StartError> {
    let boot = boot(exec).await.map_err(refused)?;
    Ledger::open(path.to_owned(), boot.trim()).map_err(refused)
}

/// What identifies one boot of this host: `kern.boot_id`, or where the kernel has none the time of
/// the boot, which also changes when the clock is set. `-x` prints binary values in hexadecimal
/// digits.
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

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Script;

    #[tokio::test]
    async fn a_boot_is_identified_by_a_number_or_else_by_its_time() {
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
