//! What an earlier start left: found by its name and its place, and given back like anything else.
//!
//! What must always hold: nothing is touched that does not have an island's name and lie where our islands do.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use host::exec::Executor;

use crate::backend::Options;
use crate::backend::StartError;
use crate::freebsd::environment::HostEnvironment;
use crate::freebsd::host::{Host, refused};
use crate::freebsd::janitor::Janitor;
use crate::freebsd::resources::JailResources;
use crate::freebsd::{jails, mounts};
use crate::id::IslandId;

/// How long a sweep waits for what is busy.
const WAIT: Duration = Duration::from_secs(60);

/// What a sweep found and did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Islands that were left, and are gone now.
    pub gone: Vec<String>,
    /// Islands that are still busy.
    pub busy: Vec<String>,
    /// What somebody else made where only ours should be; untouched.
    pub foreign: Vec<String>,
}

/// Gives back what earlier starts left, on a host on which no server runs.
pub async fn sweep(options: &Options) -> Result<Swept, StartError> {
    sweep_on(options, HostEnvironment::host()).await
}

/// The same on another ground than this host.
pub async fn sweep_on(
    options: &Options,
    environment: HostEnvironment,
) -> Result<Swept, StartError> {
    let (host, _) = Host::open(options, environment).await?;
    let host = Arc::new(host);
    let janitor = Arc::new(Janitor::new());
    let Leftovers { islands, foreign, network } = reconcile(&host, &janitor).await?;
    let busy = janitor.drain(WAIT).await;
    host.link.close().await;
    network.map_err(StartError::Refused)?;
    let gone = islands.iter().filter(|id| !busy.contains(id)).map(IslandId::to_string).collect();
    let busy = busy.iter().map(IslandId::to_string).collect();
    Ok(Swept { gone, busy, foreign })
}

/// What an earlier start left.
pub(super) struct Leftovers {
    islands: Vec<IslandId>,
    foreign: Vec<String>,
    /// Whether islands can have addresses now, or why not.
    pub(super) network: Result<(), String>,
}

/// Hands everything that an earlier start left to the janitor, and says what that is, and what is none of ours.
pub(super) async fn reconcile(
    host: &Arc<Host>,
    janitor: &Janitor<IslandId>,
) -> Result<Leftovers, StartError> {
    let exec = &*host.exec;
    let left = host.storage.leftovers().await.map_err(|e| StartError::Refused(e.to_string()))?;
    let jails = jails::list(exec, &host.run).await.map_err(refused)?;
    let mounted = mounts::below(exec, &host.run).await.map_err(refused)?;
    let island_of = |at: &Path| {
        let below = at.strip_prefix(&host.run).ok()?;
        IslandId::parse(below.components().next()?.as_os_str().to_str()?)
    };
    end(exec, &jails).await;
    let mut islands: BTreeSet<IslandId> = left.islands.iter().cloned().collect();
    islands.extend(jails.into_iter().map(|jail| jail.id));
    islands.extend(mounted.iter().filter_map(|at| island_of(at)));
    if !islands.is_empty() {
        tracing::info!(count = islands.len(), "giving back the islands that an earlier start left");
    }
    for foreign in &left.foreign {
        tracing::warn!(dataset = %foreign, "this is not ours and stays; it is in the way of our own");
    }
    let addresses = jails::addresses(exec, &host.run).await.map_err(refused)?;
    for id in &islands {
        // Nobody else may have its address before it is gone.
        let own = addresses.ours.iter().filter(|(of, _)| of == id);
        let lease = own.filter_map(|(_, address)| host.pools.lease_again(*address)).next();
        lease.iter().for_each(|lease| lease.assign(id.as_str()));
        // The last one mounted comes first in the list, and is to be the last one here.
        let of_island = mounted.iter().rev().filter(|at| island_of(at).as_ref() == Some(id));
        let resources = JailResources::leftover(id.clone(), of_island.cloned().collect(), lease);
        janitor.give(id.clone(), resources.step(host.clone()));
    }
    let unfinished = storage_leftovers(&left);
    for dataset in host.storage.sweep(&unfinished).await {
        tracing::warn!(%dataset, "this unfinished artifact cannot be destroyed yet");
    }
    let network = host.reconcile_addresses(addresses.others).await;
    Ok(Leftovers { islands: islands.into_iter().collect(), foreign: left.foreign, network })
}

/// Ends what still runs, for new islands get the same users. What fails is tried again with all the rest.
async fn end(exec: &dyn Executor, jails: &[jails::Jail]) {
    for jail in jails.iter().filter(|jail| !jail.dying) {
        if let Err(error) = jails::remove(exec, &jail.id).await {
            tracing::warn!(id = %jail.id, %error, "this jail of an earlier start cannot be ended yet");
        }
    }
}

/// The islands' roots go with their islands, so what is left for storage are artifacts.
fn storage_leftovers(
    all: &crate::freebsd::storage::Leftovers,
) -> crate::freebsd::storage::Leftovers {
    crate::freebsd::storage::Leftovers { artifacts: all.artifacts.clone(), ..Default::default() }
}
