//! Removes the islands that an earlier start left, found by their names and folders.
//!
//! Invariants: only a jail, a mount, a folder or a dataset with an island's name in the folder of
//! the islands is touched. Rules are found by the folder of their island, which is removed after
//! them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::causes::chain;
use host::exec::Executor;
use host::net::alias::AliasError;

use crate::backend::{Options, StartError};
use crate::freebsd::environment::HostEnvironment;
use crate::freebsd::host::Host;
use crate::freebsd::janitor::Janitor;
use crate::freebsd::reason::refused;
use crate::freebsd::resources::JailResources;
use crate::freebsd::{folders, jails, mounts};
use crate::id::IslandId;

/// How long a sweep waits for islands that are busy.
const WAIT: Duration = Duration::from_secs(60);

/// The result of a sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// The islands that were removed.
    pub gone: Vec<String>,
    /// The islands that are still busy.
    pub busy: Vec<String>,
    /// Datasets of other programs where only islands should be; untouched.
    pub foreign: Vec<String>,
}

/// Removes the islands that earlier starts left, on a host on which no server runs.
pub async fn sweep(options: &Options) -> Result<Swept, StartError> {
    sweep_on(options, HostEnvironment::host()).await
}

/// As [`sweep`], on a host or on a model of one.
pub async fn sweep_on(
    options: &Options,
    environment: HostEnvironment,
) -> Result<Swept, StartError> {
    let (host, _) = Host::open(options, environment).await?;
    let host = Arc::new(host);
    let janitor = Arc::new(Janitor::new());
    let Leftovers { islands, foreign, network } = reconcile(&host, &janitor).await?;
    let busy = janitor.drain(WAIT).await;
    host.launcher.close().await;
    network.map_err(refused)?;
    let gone = islands.iter().filter(|id| !busy.contains(id)).map(IslandId::to_string).collect();
    let busy = busy.iter().map(IslandId::to_string).collect();
    Ok(Swept { gone, busy, foreign })
}

/// The islands of an earlier start.
pub(super) struct Leftovers {
    islands: Vec<IslandId>,
    foreign: Vec<String>,
    /// Whether islands can have addresses now, or why not.
    pub(super) network: Result<(), AliasError>,
}

/// Hands the islands that an earlier start left to the janitor. Returns them, and the foreign
/// datasets.
pub(super) async fn reconcile(
    host: &Arc<Host>,
    janitor: &Janitor<IslandId>,
) -> Result<Leftovers, StartError> {
    let exec = &*host.exec;
    let left = host.storage.leftovers().await.map_err(refused)?;
    let jails = jails::list(exec, &host.run).await.map_err(refused)?;
    let mounted = mounts::below(exec, &host.run).await.map_err(refused)?;
    let folders = folders::list(&host.run).await.map_err(refused)?;
    let island_of = |at: &Path| {
        let below = at.strip_prefix(&host.run).ok()?;
        IslandId::parse(below.components().next()?.as_os_str().to_str()?)
    };
    end(exec, &jails).await;
    let mut islands: BTreeSet<IslandId> = left.islands.iter().cloned().collect();
    islands.extend(jails.into_iter().map(|jail| jail.id));
    islands.extend(mounted.iter().filter_map(|at| island_of(at)));
    islands.extend(folders);
    if !islands.is_empty() {
        tracing::info!(count = islands.len(), "removing the islands that an earlier start left");
    }
    for foreign in &left.foreign {
        tracing::warn!(dataset = %foreign, "another program made this dataset in the folder of the islands; it stays there");
    }
    let addresses = jails::addresses(exec, &host.run).await.map_err(refused)?;
    for id in &islands {
        // No other island may have the address while the jail has it.
        let own = addresses.islands.iter().filter(|(of, _)| of == id);
        let lease = own.filter_map(|(_, address)| host.pools.lease_again(*address)).next();
        lease.iter().for_each(|lease| lease.assign(id.as_str()));
        // The list begins with the newest mount, and the teardown unmounts the last one first.
        let of_island = mounted.iter().rev().filter(|at| island_of(at).as_ref() == Some(id));
        let resources = JailResources::leftover(id.clone(), of_island.cloned().collect(), lease);
        janitor.give(id.clone(), resources.step(host.clone()));
    }
    let unfinished = storage_leftovers(&left);
    for dataset in host.storage.sweep(&unfinished).await {
        tracing::warn!(%dataset, "an unfinished artifact cannot be destroyed yet");
    }
    let network = host.reconcile_addresses(addresses.others).await;
    Ok(Leftovers { islands: islands.into_iter().collect(), foreign: left.foreign, network })
}

/// Removes the jails that still run, because new islands get the same users. The janitor tries
/// again where this fails.
async fn end(exec: &dyn Executor, jails: &[jails::Jail]) {
    for jail in jails.iter().filter(|jail| !jail.dying) {
        if let Err(error) = jails::remove(exec, &jail.id).await {
            let error = chain(&error);
            tracing::warn!(id = %jail.id, %error, "a jail of an earlier start cannot be removed yet");
        }
    }
}

/// The leftovers without the roots, which the teardown of their islands destroys.
fn storage_leftovers(
    all: &crate::freebsd::storage::Leftovers,
) -> crate::freebsd::storage::Leftovers {
    crate::freebsd::storage::Leftovers { artifacts: all.artifacts.clone(), ..Default::default() }
}
