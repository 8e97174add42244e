//! The network of islands that have an address: bridges, and a cable to each such island.
//!
//! A pool's `interface` names a bridge. If the bridge does not exist, the server makes it, with the
//! pool's gateway as its address, and removes it when the server stops. An existing bridge stays as
//! it is. The server changes nothing else on the host: the operator decides whether packets go
//! further than to the host (`ip_forward`, NAT, firewall rules).
//!
//! Invariants: a lease is held until the host's end of its cable is gone, even if the call ended
//! before the cable was laid. The server configures the island's end from outside: no process on
//! the island has the capability to do it or to undo it.

use std::convert::Infallible;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use common::causes;
use host::exec;
use host::net::iproute::{self, IprouteError, NetworkLink, Port};
use host::net::{Interface, Lease, Pools};
use ipnetwork::IpNetwork;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::backend::Finding;
use crate::id::IslandId;

/// The alias of a bridge that the server made.
const MARK: &str = "sky-island";
/// The first and the longest pause before the removal of a cable is tried again.
const RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// How long the end of the server waits for cables to be removed.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Why islands have no addresses, or one island has none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// The configuration has no pool.
    #[error("no pools of addresses are configured; set network.pools")]
    NoPools,
    /// The server does not run as root.
    #[error("only root can give an island an address; run the server as root")]
    NotRoot,
    /// The commands for network interfaces are missing.
    #[error(transparent)]
    Tools(IprouteError),
    /// A command on an interface failed.
    #[error("interface {interface}")]
    Interface {
        /// The interface.
        interface: Interface,
        /// Why.
        source: IprouteError,
    },
    /// A pool's interface is no bridge.
    #[error(
        "{0} is no bridge; set the pool's interface to a bridge, or to a name that is not in use"
    )]
    NoBridge(Interface),
    /// A bridge that was just made is gone.
    #[error("{0} disappeared while it was set up")]
    BridgeGone(Interface),
    /// The lease's interface belongs to no pool.
    #[error("the lease belongs to no pool of this server")]
    ForeignLease,
    /// The task that lays cables has ended.
    #[error("the task that lays cables has ended")]
    TaskEnded,
}

/// Names the interface that a failed command was about.
fn on(interface: &Interface) -> impl FnOnce(IprouteError) -> NetworkError {
    let interface = interface.clone();
    move |source| NetworkError::Interface { interface, source }
}

/// The bridges of all pools.
pub(super) struct Network {
    exec: exec::Shared,
    bridges: Vec<Bridge>,
    /// One task for each cable, from before the cable is laid until it is gone.
    cables: TaskTracker,
}

struct Bridge {
    name: Interface,
    mtu: u32,
    /// The server made the bridge, or an earlier one did.
    own: bool,
}

/// A hold on a cable that is laid. When it is dropped, the cable is removed, and then the lease
/// returned.
pub(super) struct Cable {
    _hold: oneshot::Sender<Infallible>,
}

/// The interfaces of all pools, each once.
fn names(pools: &Pools) -> Vec<Interface> {
    let mut names: Vec<_> = pools.pools().iter().map(|pool| pool.interface().clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Looks a pool's interface up; none if it does not exist yet.
async fn look_up(
    exec: &dyn exec::Executor,
    name: &Interface,
) -> Result<Option<NetworkLink>, NetworkError> {
    let found = iproute::link(exec, name).await.map_err(on(name))?;
    match found {
        Some(link) if !link.is_bridge() => Err(NetworkError::NoBridge(name.clone())),
        found => Ok(found),
    }
}

/// Checks that islands could have addresses on this host, without changing anything.
async fn check(exec: &dyn exec::Executor, pools: &Pools) -> Result<(), NetworkError> {
    if pools.is_empty() {
        return Err(NetworkError::NoPools);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(NetworkError::NotRoot);
    }
    iproute::tools(exec).await.map_err(NetworkError::Tools)?;
    for name in names(pools) {
        look_up(exec, &name).await?;
    }
    Ok(())
}

/// What `check` reports about addresses on this host; none where no pool is configured. Nothing is
/// changed.
pub(crate) async fn finding(pools: &Pools) -> Option<Finding> {
    describe(pools, check(&exec::Host, pools).await.as_ref().err())
}

/// How islands get addresses, or why they get none; none where no pool is configured.
pub(super) fn describe(pools: &Pools, error: Option<&NetworkError>) -> Option<Finding> {
    let bridges: Vec<_> = names(pools).iter().map(ToString::to_string).collect();
    if bridges.is_empty() {
        return None;
    }
    let (detail, remedy) = match error {
        // A service that listens on all addresses of the host also listens on the bridge's.
        None => (
            format!(
                "an island with an address (on {}) reaches every service that listens on this host, and every network that this host routes to",
                bridges.join(", ")
            ),
            format!("close the host's services to them: {}", closing(&bridges)),
        ),
        Some(error) => (
            format!("islands get no addresses: {}", causes::chain(error)),
            "correct that, or remove network.ip4 and network.pools".to_owned(),
        ),
    };
    Some(Finding { name: "addresses", detail, remedy: Some(remedy), required: false })
}

/// The command that keeps islands on these bridges from opening connections to the host itself. The
/// table is the command's own, so that it works whatever rules the host has; an island still
/// answers what the host sends.
fn closing(bridges: &[String]) -> String {
    let names: Vec<_> = bridges.iter().map(|name| format!("\"{name}\"")).collect();
    format!(
        "nft 'add table inet sky_island; add chain inet sky_island input {{ type filter hook input priority 0; }}; add rule inet sky_island input iifname {{ {} }} ct state new drop'",
        names.join(", ")
    )
}

impl Network {
    /// Makes the missing bridges, and removes cables that a crash left on the existing ones.
    pub(super) async fn open(exec: exec::Shared, pools: &Pools) -> Result<Arc<Self>, NetworkError> {
        check(&*exec, pools).await?;
        let mut network = Self { exec, bridges: Vec::new(), cables: TaskTracker::new() };
        for name in names(pools) {
            if let Err(error) = network.add(&name, pools).await {
                network.close().await;
                return Err(error);
            }
        }
        Ok(Arc::new(network))
    }

    async fn add(&mut self, name: &Interface, pools: &Pools) -> Result<(), NetworkError> {
        let found = look_up(&*self.exec, name).await?;
        let own = found.is_none_or(|link| link.alias.as_deref() == Some(MARK));
        // From here on, `close` removes the bridge if it is the server's, even if a step below
        // fails.
        self.bridges.push(Bridge { name: name.clone(), mtu: 0, own });
        if own {
            self.make(name, pools).await.map_err(on(name))?;
        }
        for port in iproute::ports(&*self.exec, name).await.map_err(on(name))? {
            if Port::is_one(&port) {
                iproute::remove(&*self.exec, &port).await.map_err(on(name))?;
            }
        }
        for address in iproute::addresses(&*self.exec, name).await.map_err(on(name))? {
            pools.mark_foreign(address);
        }
        let link = look_up(&*self.exec, name).await?;
        let link = link.ok_or_else(|| NetworkError::BridgeGone(name.clone()))?;
        if let Some(bridge) = self.bridges.last_mut() {
            bridge.mtu = link.mtu;
        }
        Ok(())
    }

    /// Makes a bridge with the gateways of its pools, or completes one that a crash left.
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

    /// Lays a cable to an island with this network namespace. The island has its address when this
    /// returns.
    pub(super) async fn connect(
        self: &Arc<Self>,
        lease: Arc<Lease>,
        island: &IslandId,
        namespace: OwnedFd,
    ) -> Result<Cable, NetworkError> {
        lease.assign(island.as_str());
        let (sender, laid) = oneshot::channel();
        // A task of its own, so that a running command is never dropped: the kernel may be about to
        // carry it out.
        self.cables.spawn(self.clone().hold(lease, island.clone(), namespace, sender));
        laid.await.unwrap_or(Err(NetworkError::TaskEnded))
    }

    async fn hold(
        self: Arc<Self>,
        lease: Arc<Lease>,
        island: IslandId,
        namespace: OwnedFd,
        laid: oneshot::Sender<Result<Cable, NetworkError>>,
    ) {
        let Some(port) = Port::of(lease.address()) else { return };
        let result = self.lay(&port, &lease, &island, &namespace).await;
        // An open descriptor would keep the namespace alive.
        drop(namespace);
        let (hold, released) = oneshot::channel::<Infallible>();
        if laid.send(result.map(|()| Cable { _hold: hold })).is_ok() {
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
    ) -> Result<(), NetworkError> {
        let bridge = self.bridges.iter().find(|bridge| bridge.name == *lease.interface());
        let mtu = bridge.map(|bridge| bridge.mtu).ok_or(NetworkError::ForeignLease)?;
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
        let cable =
            iproute::Cable { port, lease, namespace: &namespace, mtu, mark: island.as_str() };
        cable.lay(&*self.exec).await.map_err(on(lease.interface()))
    }

    /// Tries until the host's end of the cable is gone. The lease is held as long as that takes.
    async fn remove(&self, port: &Port, island: &IslandId) {
        let mut pause = RETRY;
        while let Err(error) = iproute::remove(&*self.exec, port.name().as_str()).await {
            let error = causes::chain(&error);
            tracing::warn!(%island, port = %port.name(), error, ?pause, "an island's cable could not be removed; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    /// Waits until all cables are gone, then removes the bridges that the server made and that have
    /// no other ports by now.
    pub(super) async fn close(&self) {
        self.cables.close();
        if tokio::time::timeout(CLOSE_WAIT, self.cables.wait()).await.is_err() {
            let (left, waited) = (self.cables.len(), CLOSE_WAIT);
            tracing::warn!(
                left,
                ?waited,
                "cables of islands could not be removed in time; the next start removes them"
            );
        }
        for bridge in self.bridges.iter().filter(|bridge| bridge.own) {
            let used = iproute::ports(&*self.exec, &bridge.name).await;
            let removed = match used {
                Ok(ports) if ports.is_empty() => {
                    iproute::remove(&*self.exec, bridge.name.as_str()).await
                }
                Ok(ports) => {
                    tracing::warn!(bridge = %bridge.name, ?ports, "the bridge is not removed, because it has other ports");
                    Ok(())
                }
                // The bridge was never made, or was removed by another program.
                Err(_) => Ok(()),
            };
            if let Err(error) = removed {
                let error = causes::chain(&error);
                tracing::warn!(bridge = %bridge.name, error, "the bridge could not be removed; remove it by hand");
            }
        }
    }
}
