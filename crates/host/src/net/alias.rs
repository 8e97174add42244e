//! The alias of a lease on a FreeBSD interface, from its record in the ledger to its removal. The
//! owner of a lease calls [`put`] before the jail is created and [`take`] once the jail is gone,
//! and only then drops the lease.

use std::net::IpAddr;

use super::ifconfig::{self, IfconfigError};
use crate::exec::Executor;
use crate::net::interface::Interface;
use crate::net::lease::Lease;
use crate::net::ledger::{Alias, Ledger};
use crate::net::pools::Pools;

/// An alias that could not be added or removed.
#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    /// The list on disk.
    #[error("the list of aliases in the state directory cannot be written")]
    Ledger(#[source] std::io::Error),
    /// The interface.
    #[error("the addresses of the interface {0} cannot be changed")]
    Interface(Interface, #[source] IfconfigError),
}

/// Adds a lease's address to its interface. After a failure, or when the future was dropped,
/// [`take`] cleans up.
pub async fn put(exec: &dyn Executor, ledger: &Ledger, lease: &Lease) -> Result<(), AliasError> {
    let alias = Alias::of(lease);
    ledger.add(&alias).map_err(AliasError::Ledger)?;
    let added = ifconfig::add(exec, &alias.interface, alias.address).await;
    added.map_err(|error| AliasError::Interface(alias.interface, error))
}

/// Removes the alias that [`put`] added. May be repeated until it succeeds; a missing address is no
/// error.
pub async fn take(exec: &dyn Executor, ledger: &Ledger, alias: &Alias) -> Result<(), AliasError> {
    match ifconfig::remove(exec, &alias.interface, alias.address).await {
        // A removed interface has no addresses.
        Ok(()) | Err(IfconfigError::NoInterface(_)) => {}
        Err(error) => return Err(AliasError::Interface(alias.interface.clone(), error)),
    }
    ledger.remove(alias).map_err(AliasError::Ledger)
}

/// Reconciles pools and interfaces at start: removes the aliases that a crash left, then marks
/// foreign addresses, on the pools' interfaces and in `jails`, the addresses of foreign jails.
/// Leased addresses stay: a jail of the last run still has them, and the owner of the lease calls
/// [`take`].
pub async fn reconcile(
    exec: &dyn Executor,
    ledger: &Ledger,
    pools: &Pools,
    jails: impl IntoIterator<Item = IpAddr>,
) -> Result<(), AliasError> {
    for alias in ledger.aliases().into_iter().filter(|it| !pools.is_lent(it.address)) {
        take(exec, ledger, &alias).await?;
    }
    let mut interfaces: Vec<_> = pools.pools().iter().map(|pool| pool.interface()).collect();
    interfaces.sort();
    interfaces.dedup();
    for interface in interfaces {
        let found = ifconfig::addresses(exec, interface).await;
        let found = found.map_err(|error| AliasError::Interface(interface.clone(), error))?;
        found.iter().filter(|found| !pools.is_lent(found.address)).for_each(|found| {
            pools.mark_foreign(found.address);
        });
    }
    jails.into_iter().for_each(|address| {
        pools.mark_foreign(address);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;
    use crate::net::pool::{Pool, PoolSettings};
    use crate::net::range::Family;
    use crate::net::table::AddressState;

    fn pools() -> Pools {
        let settings = PoolSettings {
            interface: Interface::parse("em1").unwrap(),
            network: "10.9.0.0/29".parse().unwrap(),
            span: None,
            exclude: Vec::new(),
            gateway: None,
            dns: Vec::new(),
        };
        Pools::new(vec![Pool::new(settings).unwrap()])
    }

    fn ledger(folder: &tempfile::TempDir) -> Ledger {
        Ledger::open(folder.path().join("aliases"), "b").unwrap()
    }

    #[tokio::test]
    async fn an_alias_is_in_the_ledger_for_as_long_as_it_may_be_on_the_interface() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, pools) = (ledger(&folder), pools());
        let lease = pools.lease(Family::V4).unwrap();
        let denied = "ifconfig: ioctl (SIOCDIFADDR): Operation not permitted\n";
        let script = Script::new()
            .expect("ifconfig em1 inet 10.9.0.1/32 alias", 1, "", "ifconfig: no\n")
            .expect("ifconfig em1 inet 10.9.0.1 -alias", 1, "", denied)
            .quiet("ifconfig em1 inet 10.9.0.1 -alias");
        assert!(put(&script, &ledger, &lease).await.is_err());
        assert_eq!(ledger.aliases(), [Alias::of(&lease)]);
        assert!(take(&script, &ledger, &Alias::of(&lease)).await.is_err());
        assert_eq!(ledger.aliases(), [Alias::of(&lease)]);
        take(&script, &ledger, &Alias::of(&lease)).await.unwrap();
        assert!(ledger.aliases().is_empty());
    }

    #[tokio::test]
    async fn a_start_removes_what_a_crash_left_and_leaves_the_hosts_own() {
        let folder = tempfile::tempdir().unwrap();
        let pools = pools();
        ledger(&folder).add(&Alias::of(&pools.lease(Family::V4).unwrap())).unwrap();
        let listed =
            "em1: flags=8843<UP> metric 0 mtu 1500\n\tinet 10.9.0.3/29 broadcast 10.9.0.7\n";
        let script = Script::new().quiet("ifconfig em1 inet 10.9.0.1 -alias").expect(
            "ifconfig -f inet:cidr,inet6:cidr em1",
            0,
            listed,
            "",
        );
        let ledger = ledger(&folder);
        let jails = ["10.9.0.4".parse().unwrap(), "10.1.1.1".parse().unwrap()];
        reconcile(&script, &ledger, &pools, jails).await.unwrap();
        assert!(script.left().is_empty() && ledger.aliases().is_empty());
        let foreign = pools.list().into_iter().filter(|it| it.state == AddressState::Foreign);
        let foreign: Vec<_> = foreign.map(|it| it.address.to_string()).collect();
        assert_eq!(foreign, ["10.9.0.3", "10.9.0.4"]);
    }

    #[tokio::test]
    async fn a_start_leaves_leased_addresses_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, pools) = (ledger(&folder), pools());
        let lease = pools.lease(Family::V4).unwrap();
        ledger.add(&Alias::of(&lease)).unwrap();
        let listed = "em1: flags=8843<UP>\n\tinet 10.9.0.1/32 broadcast 10.9.0.1\n";
        let script = Script::new().expect("ifconfig -f inet:cidr,inet6:cidr em1", 0, listed, "");
        reconcile(&script, &ledger, &pools, []).await.unwrap();
        assert_eq!(ledger.aliases(), [Alias::of(&lease)]);
        drop(lease);
        assert!(pools.list().iter().all(|it| it.state == AddressState::Free));
    }

    #[tokio::test]
    async fn an_interface_that_is_gone_needs_no_cleaning() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, pools) = (ledger(&folder), pools());
        let alias = Alias::of(&pools.lease(Family::V4).unwrap());
        ledger.add(&alias).unwrap();
        let said = "ifconfig: interface em1 does not exist\n";
        let script = Script::new().expect("ifconfig em1 inet 10.9.0.1 -alias", 1, "", said);
        take(&script, &ledger, &alias).await.unwrap();
        assert!(ledger.aliases().is_empty());
    }
}
