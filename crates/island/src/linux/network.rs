//! The network of islands that have an address: bridges, and a cable to each such island.
//!
//! A pool's `interface` names a bridge. One that does not exist is made, with the pool's gateway as its address, and
//! removed when the server stops; one that exists stays as it is. Nothing else of the host is changed: whether packets
//! go further than to the host (`ip_forward`, NAT, firewall rules) is the operator's to say.
//!
//! What must always hold: a lease is held until the host has no end of its cable any more, whoever gave up and when; an
//! island's end is configured from outside, for nothing on the island has a capability to do it, or to undo it.

use std::convert::Infallible;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use host::exec;
use host::net::iproute::{self, IprouteError, Link, Port};
use host::net::{Interface, Lease, Pools};
use ipnetwork::IpNetwork;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::backend::Finding;
use crate::id::IslandId;

/// What is written on a bridge that we made.
const MARK: &str = "sky-island";
/// The first and the longest pause before the removal of a cable is tried again.
const RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// How long the end of the server waits for cables to be removed.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The bridges of all pools.
pub(super) struct Network {
    exec: exec::Shared,
    bridges: Vec<Bridge>,
    /// One task a cable, from before it is laid until it is gone.
    cables: TaskTracker,
}

struct Bridge {
    name: Interface,
    mtu: u32,
    /// We made it.
    ours: bool,
}

/// A hold on a cable that is laid. Dropping it has the cable removed, and then the lease returned.
pub(super) struct Cable {
    _hold: oneshot::Sender<Infallible>,
}

/// Why there is no network, with all causes, on one line.
fn why(what: impl std::fmt::Display, error: &dyn std::error::Error) -> String {
    format!("{what}: {}", common::causes::chain(error))
}

/// The bridges that pools name, each once.
fn names(pools: &Pools) -> Vec<Interface> {
    let mut names: Vec<_> = pools.pools().iter().map(|pool| pool.interface().clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Looks at a pool's interface; none where it is to be made.
async fn look(exec: &dyn exec::Executor, name: &Interface) -> Result<Option<Link>, String> {
    let found = iproute::link(exec, name).await.map_err(|error| why(name, &error))?;
    match found {
        Some(link) if !link.is_bridge() => Err(format!(
            "{name} is no bridge; set the pool's interface to one, or to a name that nothing has"
        )),
        found => Ok(found),
    }
}

/// Whether islands could have addresses here, without changing anything.
async fn possible(exec: &dyn exec::Executor, pools: &Pools) -> Result<(), String> {
    if pools.is_empty() {
        return Err("no pools of addresses are configured; set network.pools".into());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("only root can give an island an address".into());
    }
    iproute::tools(exec).await.map_err(|error| error.to_string())?;
    for name in names(pools) {
        look(exec, &name).await?;
    }
    Ok(())
}

/// What a host can do about addresses, for `check`: nothing is changed. None where no pool is configured.
pub(crate) async fn finding(pools: &Pools) -> Option<Finding> {
    let possible = possible(&exec::Host, pools).await;
    describe(pools, possible.as_ref().copied().map_err(String::as_str))
}

/// How addresses are given out, or why not; none where no pool is configured.
pub(super) fn describe(pools: &Pools, network: Result<(), &str>) -> Option<Finding> {
    let bridges: Vec<_> = names(pools).iter().map(ToString::to_string).collect();
    let first = bridges.first()?;
    let (detail, remedy) = match network {
        // Whoever listens on all of the host's addresses listens on the bridge's too.
        Ok(()) => (
            format!(
                "islands with an address, by {}, reach what listens on this host and what it routes to",
                bridges.join(", ")
            ),
            format!("a firewall rule: nft add rule inet filter input iifname {first} drop"),
        ),
        Err(why) => (
            format!("islands have none: {why}"),
            "do what that says, or configure no pools".to_owned(),
        ),
    };
    Some(Finding { name: "addresses", detail, remedy: Some(remedy), required: false })
}

impl Network {
    /// Makes the bridges that are not there and removes what a crash left on those that are.
    pub(super) async fn open(exec: exec::Shared, pools: &Pools) -> Result<Arc<Self>, String> {
        possible(&*exec, pools).await?;
        let mut network = Self { exec, bridges: Vec::new(), cables: TaskTracker::new() };
        for name in names(pools) {
            if let Err(error) = network.add(&name, pools).await {
                network.close().await;
                return Err(error);
            }
        }
        Ok(Arc::new(network))
    }

    async fn add(&mut self, name: &Interface, pools: &Pools) -> Result<(), String> {
        let found = look(&*self.exec, name).await?;
        let ours = found.is_none_or(|link| link.alias.as_deref() == Some(MARK));
        // From here on it is removed whatever happens, if it is ours.
        self.bridges.push(Bridge { name: name.clone(), mtu: 0, ours });
        let failed = |error: IprouteError| why(name, &error);
        if ours {
            self.make(name, pools).await.map_err(failed)?;
        }
        for port in iproute::ports(&*self.exec, name).await.map_err(failed)? {
            if Port::is_one(&port) {
                iproute::remove(&*self.exec, &port).await.map_err(failed)?;
            }
        }
        for address in iproute::addresses(&*self.exec, name).await.map_err(failed)? {
            pools.mark_foreign(address);
        }
        let link = look(&*self.exec, name).await?.ok_or_else(|| format!("{name} is gone again"))?;
        if let Some(bridge) = self.bridges.last_mut() {
            bridge.mtu = link.mtu;
        }
        Ok(())
    }

    /// A bridge of ours with the gateways of its pools; what a crash left of it is completed.
    async fn make(&self, name: &Interface, pools: &Pools) -> Result<(), IprouteError> {
        if iproute::link(&*self.exec, name).await?.is_none() {
            iproute::add_bridge(&*self.exec, name, MARK).await?;
        }
        for pool in pools.pools().iter().filter(|pool| pool.interface() == name) {
            let network = pool.network();
            let gateway = pool.gateway().and_then(|it| IpNetwork::new(it, network.prefix()).ok());
            if let Some(gateway) = gateway {
                iproute::add_address(&*self.exec, name, gateway).await?;
            }
        }
        iproute::up(&*self.exec, name).await
    }

    /// Lays a cable to an island, whose network namespace this is. When it returns, the island has its address.
    pub(super) async fn connect(
        self: &Arc<Self>,
        lease: Arc<Lease>,
        island: &IslandId,
        namespace: OwnedFd,
    ) -> Result<Cable, String> {
        lease.assign(island.as_str());
        let (sender, laid) = oneshot::channel();
        // A task of its own, so that a command under way is never dropped: the kernel may be about to obey it.
        self.cables.spawn(self.clone().hold(lease, island.clone(), namespace, sender));
        laid.await.unwrap_or_else(|_| Err("the task that lays cables is gone".into()))
    }

    async fn hold(
        self: Arc<Self>,
        lease: Arc<Lease>,
        island: IslandId,
        namespace: OwnedFd,
        laid: oneshot::Sender<Result<Cable, String>>,
    ) {
        let Some(port) = Port::of(lease.address()) else { return };
        let result = self.lay(&port, &lease, &island, &namespace).await;
        // A namespace lives as long as somebody holds it.
        drop(namespace);
        let (hold, released) = oneshot::channel::<Infallible>();
        let answer = result.map(|()| Cable { _hold: hold });
        if laid.send(answer).is_ok() {
            let _ = released.await;
        }
        self.remove(&port, &island).await;
    }

    async fn lay(
        &self,
        port: &Port,
        lease: &Lease,
        island: &IslandId,
        namespace: &OwnedFd,
    ) -> Result<(), String> {
        let bridge = self.bridges.iter().find(|bridge| bridge.name == *lease.interface());
        let mtu = bridge.map(|bridge| bridge.mtu).ok_or("the lease is of another server")?;
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
        let cable =
            iproute::Cable { port, lease, namespace: &namespace, mtu, mark: island.as_str() };
        cable.lay(&*self.exec).await.map_err(|error| why(lease.interface(), &error))
    }

    /// Tries until the host has no such port any more. The lease waits for that, however long it takes.
    async fn remove(&self, port: &Port, island: &IslandId) {
        let mut pause = RETRY;
        while let Err(error) = iproute::remove(&*self.exec, port.name().as_str()).await {
            tracing::warn!(%island, port = %port.name(), error = why("tried again", &error), "a cable stays");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    /// Waits until all cables are gone, then removes the bridges that we made, unless somebody else uses them by now.
    pub(super) async fn close(&self) {
        self.cables.close();
        if tokio::time::timeout(CLOSE_WAIT, self.cables.wait()).await.is_err() {
            tracing::warn!(left = self.cables.len(), "cables stay");
        }
        for bridge in self.bridges.iter().filter(|bridge| bridge.ours) {
            let used = iproute::ports(&*self.exec, &bridge.name).await;
            let removed = match used {
                Ok(ports) if ports.is_empty() => {
                    iproute::remove(&*self.exec, bridge.name.as_str()).await
                }
                Ok(ports) => {
                    tracing::warn!(bridge = %bridge.name, ?ports, "a bridge is in use and stays");
                    Ok(())
                }
                // It was never made, or somebody has removed it.
                Err(_) => Ok(()),
            };
            if let Err(error) = removed {
                tracing::warn!(bridge = %bridge.name, error = why("not removed", &error), "a bridge stays");
            }
        }
    }
}
