//! Lends the addresses of all pools, in memory alone.
//!
//! Invariants: no address is lent twice at a time, and none is lost: each lease returns its own
//! address.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::net::lease::Lease;
use crate::net::lending::{Lending, UnknownAddress};
use crate::net::observer::LeaseObserver;
use crate::net::pool::Pool;
use crate::net::range::Family;
use crate::net::table::{AddressState, Entry, Table};

/// All pools together. Clones share them; the default has none.
#[derive(Clone, Default)]
pub struct Pools {
    lending: Arc<Lending>,
}

/// One line of [`Pools::list`].
#[derive(Clone, Debug)]
pub struct PoolAddress {
    /// The address.
    pub address: IpAddr,
    /// The pool that it belongs to.
    pub pool: Arc<Pool>,
    /// The state of the address.
    pub state: AddressState,
    /// Since when.
    pub since: SystemTime,
}

/// No address can be lent now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of the {total} {family} addresses in network.pools is free")]
pub struct NoAddress {
    /// The family that was wanted.
    pub family: Family,
    /// How many addresses of the family there are, withdrawn and foreign ones included.
    pub total: usize,
}

impl Pools {
    /// The pools must not overlap, which the configuration checks; otherwise the first pool has the
    /// address.
    pub fn new(pools: Vec<Pool>) -> Self {
        let pools: Vec<_> = pools.into_iter().map(Arc::new).collect();
        let (mut table, now) = (Table::default(), SystemTime::now());
        for (index, pool) in pools.iter().enumerate() {
            for address in pool.addresses() {
                table.entries.entry(address).or_insert_with(|| {
                    table.waiting[Family::of(address) as usize].push_back(address);
                    Entry::new(index, now)
                });
            }
        }
        Self { lending: Arc::new(Lending::new(pools, table)) }
    }

    /// Counts leases from now on.
    pub fn observe(&self, observer: Arc<dyn LeaseObserver>) {
        // The first observer stays.
        let _ = self.lending.observer.set(observer);
    }

    /// The lease of an address that has just left the queue.
    fn lent(&self, pool: usize, address: IpAddr) -> Lease {
        self.lending.count(|observer| observer.in_use(true));
        Lease { lending: self.lending.clone(), pool: self.lending.pools[pool].clone(), address }
    }

    /// Whether no pool is configured.
    pub fn is_empty(&self) -> bool {
        self.lending.pools.is_empty()
    }

    /// The pools, as they are configured.
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.lending.pools
    }

    /// The family that a call's `ip4` means: IPv4, and IPv6 only where no pool has IPv4 addresses.
    pub fn family(&self) -> Family {
        let only_six = self.lending.pools.iter().all(|pool| pool.family() == Family::V6);
        if only_six && !self.is_empty() { Family::V6 } else { Family::V4 }
    }

    /// Lends the address that has been free for longest.
    pub fn lease(&self, family: Family) -> Result<Lease, NoAddress> {
        let mut table = self.lending.table.lock();
        let total = || table.entries.keys().filter(|it| Family::of(**it) == family).count();
        let Some(address) = table.waiting[family as usize].front().copied() else {
            return Err(NoAddress { family, total: total() });
        };
        table.waiting[family as usize].pop_front();
        let index = table.entries.get_mut(&address).map_or(0, |entry| {
            entry.lend();
            entry.pool
        });
        self.lending.count(|observer| observer.granted());
        Ok(self.lent(index, address))
    }

    /// Lends this very address, which a jail of an earlier run still has; none where it cannot be
    /// lent.
    pub fn lease_again(&self, address: IpAddr) -> Option<Lease> {
        let mut table = self.lending.table.lock();
        let index = table.entries.get(&address).filter(|entry| entry.can_be_lent())?.pool;
        table.change(address, |entry| entry.leased = Some(None))?;
        Some(self.lent(index, address))
    }

    /// Whether an address is lent at the moment.
    pub fn is_lent(&self, address: IpAddr) -> bool {
        let table = self.lending.table.lock();
        table.entries.get(&address).is_some_and(|entry| entry.leased.is_some())
    }

    /// Lends an address like [`Pools::lease`], and waits up to `wait` for a free one.
    pub async fn lease_within(&self, family: Family, wait: Duration) -> Result<Lease, NoAddress> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let returned = self.lending.returned.notified();
            match self.lease(family) {
                Ok(lease) => return Ok(lease),
                Err(none) if tokio::time::timeout_at(until, returned).await.is_err() => {
                    self.lending.count(|observer| observer.refused());
                    return Err(none);
                }
                Err(_) => {}
            }
        }
    }

    /// Takes an address out of the pool; one that is leased leaves it when it is returned.
    pub fn withdraw(&self, address: IpAddr) -> Result<(), UnknownAddress> {
        self.lending.change(address, |entry| entry.withdrawn = true)
    }

    /// Takes an address out of the pool, or puts it back. An address in use stays; its state is
    /// returned.
    pub fn steer(
        &self,
        address: IpAddr,
        withdrawn: bool,
    ) -> Result<Option<AddressState>, UnknownAddress> {
        let mut table = self.lending.table.lock();
        let entry = table.entries.get(&address).ok_or(UnknownAddress(address))?;
        if let state @ (AddressState::Leased { .. } | AddressState::Foreign) = entry.state() {
            return Ok(Some(state));
        }
        table
            .change(address, |entry| entry.withdrawn = withdrawn)
            .ok_or(UnknownAddress(address))?;
        drop(table);
        self.lending.returned.notify_waiters();
        Ok(None)
    }

    /// How many addresses there are.
    pub fn total(&self) -> usize {
        self.lending.table.lock().entries.len()
    }

    /// How many addresses are leased.
    pub fn busy(&self) -> usize {
        let table = self.lending.table.lock();
        table.entries.values().filter(|entry| entry.leased.is_some()).count()
    }

    /// Puts back an address that [`Pools::withdraw`] took out. A foreign address stays foreign.
    pub fn restore(&self, address: IpAddr) -> Result<(), UnknownAddress> {
        self.lending.change(address, |entry| entry.withdrawn = false)?;
        self.lending.returned.notify_waiters();
        Ok(())
    }

    /// Marks an address that the host itself or a foreign jail has. The address is not lent again.
    /// Returns whether any pool has the address.
    pub fn mark_foreign(&self, address: IpAddr) -> bool {
        self.lending.change(address, |entry| entry.foreign = true).is_ok()
    }

    /// Every address and its state, in order.
    pub fn list(&self) -> Vec<PoolAddress> {
        let table = self.lending.table.lock();
        let listed = |(address, entry): (&IpAddr, &Entry)| PoolAddress {
            address: *address,
            pool: self.lending.pools[entry.pool].clone(),
            state: entry.state(),
            since: entry.since,
        };
        table.entries.iter().map(listed).collect()
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lending.pools.iter().map(|pool| pool.network())).finish()
    }
}

#[cfg(test)]
#[path = "pools_tests.rs"]
mod tests;
