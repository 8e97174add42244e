//! Lends the addresses of all pools. Nothing here asks the host.
//!
//! What must always hold: no address is lent twice at a time, and none is lost: each lease returns its own.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::table::{Entry, Table};
use crate::net::lease::Lease;
use crate::net::observer::LeaseObserver;
use crate::net::pool::Pool;
use crate::net::range::Family;
use crate::net::table::State;

/// All pools together. Clones share them; the default has none.
#[derive(Clone, Default)]
pub struct Pools {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    pools: Vec<Arc<Pool>>,
    table: Mutex<Table>,
    returned: Notify,
    observer: OnceLock<Arc<dyn LeaseObserver>>,
}

/// One line of [`Pools::list`].
#[derive(Clone, Debug)]
pub struct Listed {
    /// The address.
    pub address: IpAddr,
    /// The pool that it belongs to.
    pub pool: Arc<Pool>,
    /// What it is doing.
    pub state: State,
    /// Since when.
    pub since: SystemTime,
}

/// No address can be lent now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of the {total} {family} addresses is free")]
pub struct NoAddress {
    /// The family that was wanted.
    pub family: Family,
    /// How many addresses of it there are, those that cannot be lent included.
    pub total: usize,
}

/// An address that no pool has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is in no pool")]
pub struct Unknown(pub IpAddr);

impl Pools {
    /// Pools that claim no address twice, which is the configuration's to see to; of two that do, the first has it.
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
        let table = Mutex::new(table);
        let inner = Inner { pools, table, returned: Notify::new(), observer: OnceLock::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Has leases counted from now on.
    pub fn observe(&self, observer: Arc<dyn LeaseObserver>) {
        // The first observer stays.
        let _ = self.inner.observer.set(observer);
    }

    fn count(&self, event: impl FnOnce(&dyn LeaseObserver)) {
        if let Some(observer) = self.inner.observer.get() {
            event(&**observer);
        }
    }

    /// The hold on an address that has just been taken out of the line.
    fn lent(&self, pool: usize, address: IpAddr) -> Lease {
        self.count(|observer| observer.in_use(true));
        Lease { pools: self.clone(), pool: self.inner.pools[pool].clone(), address }
    }

    /// Whether none is configured.
    pub fn is_empty(&self) -> bool {
        self.inner.pools.is_empty()
    }

    /// The pools, as they are configured.
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.inner.pools
    }

    /// The family that a call's `ip4` means: IPv4, and IPv6 only where no pool has IPv4 addresses.
    pub fn family(&self) -> Family {
        let only_six = self.inner.pools.iter().all(|pool| pool.family() == Family::V6);
        if only_six && !self.is_empty() { Family::V6 } else { Family::V4 }
    }

    /// Lends the address that has been free for longest.
    pub fn lease(&self, family: Family) -> Result<Lease, NoAddress> {
        let mut table = self.inner.table.lock();
        let total = || table.entries.keys().filter(|it| Family::of(**it) == family).count();
        let Some(address) = table.waiting[family as usize].front().copied() else {
            return Err(NoAddress { family, total: total() });
        };
        table.waiting[family as usize].pop_front();
        let index = table.entries.get_mut(&address).map_or(0, |entry| {
            entry.lend();
            entry.pool
        });
        self.count(|observer| observer.granted());
        Ok(self.lent(index, address))
    }

    /// Lends this very address, which something of an earlier start has still; none where it cannot be lent.
    pub fn lease_again(&self, address: IpAddr) -> Option<Lease> {
        let mut table = self.inner.table.lock();
        let index = table.entries.get(&address).filter(|entry| entry.can_be_lent())?.pool;
        table.change(address, |entry| entry.leased = Some(None))?;
        Some(self.lent(index, address))
    }

    /// Whether an address is lent at the moment.
    pub fn is_lent(&self, address: IpAddr) -> bool {
        let table = self.inner.table.lock();
        table.entries.get(&address).is_some_and(|entry| entry.leased.is_some())
    }

    /// The same as [`Pools::lease`], but waits so long for one to be returned.
    pub async fn lease_within(&self, family: Family, wait: Duration) -> Result<Lease, NoAddress> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let returned = self.inner.returned.notified();
            match self.lease(family) {
                Ok(lease) => return Ok(lease),
                Err(none) if tokio::time::timeout_at(until, returned).await.is_err() => {
                    self.count(|observer| observer.refused());
                    return Err(none);
                }
                Err(_) => {}
            }
        }
    }

    /// Takes an address out of the pool; one that is leased leaves it when it is returned.
    pub fn withdraw(&self, address: IpAddr) -> Result<(), Unknown> {
        self.change(address, |entry| entry.withdrawn = true)
    }

    /// Takes an address out of the pool, or puts it back, unless somebody has it: then who.
    pub fn steer(&self, address: IpAddr, withdrawn: bool) -> Result<Option<State>, Unknown> {
        let mut table = self.inner.table.lock();
        let entry = table.entries.get(&address).ok_or(Unknown(address))?;
        if let state @ (State::Leased { .. } | State::Foreign) = entry.state() {
            return Ok(Some(state));
        }
        table.change(address, |entry| entry.withdrawn = withdrawn).ok_or(Unknown(address))?;
        drop(table);
        self.inner.returned.notify_waiters();
        Ok(None)
    }

    /// How many addresses there are.
    pub fn total(&self) -> usize {
        self.inner.table.lock().entries.len()
    }

    /// How many islands have one.
    pub fn busy(&self) -> usize {
        let table = self.inner.table.lock();
        table.entries.values().filter(|entry| entry.leased.is_some()).count()
    }

    /// Puts back what [`Pools::withdraw`] took out. A foreign address stays foreign.
    pub fn restore(&self, address: IpAddr) -> Result<(), Unknown> {
        self.change(address, |entry| entry.withdrawn = false)?;
        self.inner.returned.notify_waiters();
        Ok(())
    }

    /// Says that somebody else has an address: the host itself, or a jail that is not ours. It is never lent again; one
    /// that is leased is not lent after that. Whether any pool has it.
    pub fn mark_foreign(&self, address: IpAddr) -> bool {
        self.change(address, |entry| entry.foreign = true).is_ok()
    }

    /// Every address and what it is doing, in order.
    pub fn list(&self) -> Vec<Listed> {
        let table = self.inner.table.lock();
        let listed = |(address, entry): (&IpAddr, &Entry)| Listed {
            address: *address,
            pool: self.inner.pools[entry.pool].clone(),
            state: entry.state(),
            since: entry.since,
        };
        table.entries.iter().map(listed).collect()
    }

    pub(super) fn assign(&self, address: IpAddr, island: &str) {
        let island = Some(Some(island.to_owned()));
        let _ = self.change(address, |entry| entry.leased = island);
    }

    pub(super) fn give_back(&self, address: IpAddr) {
        let _ = self.change(address, |entry| entry.leased = None);
        self.count(|observer| observer.in_use(false));
        self.inner.returned.notify_waiters();
    }

    fn change(&self, address: IpAddr, change: impl FnOnce(&mut Entry)) -> Result<(), Unknown> {
        self.inner.table.lock().change(address, change).ok_or(Unknown(address))
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.inner.pools.iter().map(|pool| pool.network())).finish()
    }
}

#[cfg(test)]
#[path = "pools_tests.rs"]
mod tests;
