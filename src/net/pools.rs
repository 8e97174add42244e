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
use super::{Family, Lease, Pool, State};
use crate::metrics::Metrics;

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
    metrics: OnceLock<Metrics>,
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
        let inner = Inner { pools, table, returned: Notify::new(), metrics: OnceLock::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Has leases counted from now on.
    pub fn count_with(&self, metrics: Metrics) {
        // Whoever counts already goes on.
        let _ = self.inner.metrics.set(metrics);
    }

    fn count(&self, event: impl FnOnce(&Metrics)) {
        if let Some(metrics) = self.inner.metrics.get() {
            event(metrics);
        }
    }

    /// The hold on an address that has just been taken out of the line.
    fn lent(&self, pool: usize, address: IpAddr) -> Lease {
        self.count(|metrics| metrics.address_busy(true));
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
        self.count(Metrics::address_granted);
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
                    self.count(Metrics::address_refused);
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
        self.count(|metrics| metrics.address_busy(false));
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
mod tests {
    use super::super::pool::tests::settings;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn pools(networks: &[&str]) -> Pools {
        Pools::new(networks.iter().map(|it| Pool::new(settings(it)).unwrap()).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_was_just_returned_is_the_last_to_be_lent_again() {
        let pools = pools(&["10.9.0.0/30"]);
        let one = pools.lease(Family::V4).unwrap();
        assert_eq!(one.address(), ip("10.9.0.1"));
        drop(one);
        let two = pools.lease(Family::V4).unwrap();
        assert_eq!(two.address(), ip("10.9.0.2"));
        assert_eq!(pools.lease(Family::V4).unwrap().address(), ip("10.9.0.1"));
    }

    #[test]
    fn an_address_that_an_earlier_start_left_is_lent_until_it_is_returned() {
        let pools = pools(&["10.9.0.0/30"]);
        let left = pools.lease_again(ip("10.9.0.1")).unwrap();
        assert!(pools.is_lent(ip("10.9.0.1")) && pools.lease_again(ip("10.9.0.1")).is_none());
        assert_eq!(pools.lease(Family::V4).unwrap().address(), ip("10.9.0.2"));
        pools.mark_foreign(ip("10.9.0.2"));
        assert!(pools.lease_again(ip("10.9.0.2")).is_none());
        assert!(pools.lease_again(ip("10.1.1.1")).is_none());
        drop(left);
        assert!(!pools.is_lent(ip("10.9.0.1")));
        assert_eq!(pools.lease(Family::V4).unwrap().address(), ip("10.9.0.1"));
    }

    #[test]
    fn none_free_is_said_with_how_many_there_are() {
        let pools = pools(&["10.9.0.0/30"]);
        let _held = [pools.lease(Family::V4).unwrap(), pools.lease(Family::V4).unwrap()];
        let none = pools.lease(Family::V4).unwrap_err();
        assert_eq!(none.to_string(), "none of the 2 IPv4 addresses is free");
        assert_eq!(pools.lease(Family::V6).unwrap_err().total, 0);
    }

    #[test]
    fn ipv6_is_meant_only_where_there_is_nothing_else() {
        assert_eq!(pools(&["10.9.0.0/30", "fd00::/64"]).family(), Family::V4);
        assert_eq!(pools(&["fd00::/64"]).family(), Family::V6);
        assert_eq!(Pools::default().family(), Family::V4);
    }

    #[test]
    fn a_leased_address_is_withdrawn_when_it_is_returned() {
        let pools = pools(&["10.9.0.4/32"]);
        let lease = pools.lease(Family::V4).unwrap();
        lease.assign("si_0123abcd_1");
        pools.withdraw(ip("10.9.0.4")).unwrap();
        let state = |pools: &Pools| pools.list()[0].state.clone();
        let island = Some("si_0123abcd_1".to_owned());
        assert_eq!(state(&pools), State::Leased { island, withdrawn: true });
        drop(lease);
        assert_eq!(state(&pools), State::Withdrawn);
        assert!(pools.lease(Family::V4).is_err());
        pools.restore(ip("10.9.0.4")).unwrap();
        assert!(pools.lease(Family::V4).is_ok());
        assert_eq!(pools.withdraw(ip("10.9.0.5")), Err(Unknown(ip("10.9.0.5"))));
    }

    #[test]
    fn an_operator_cannot_put_a_foreign_address_back() {
        let pools = pools(&["10.9.0.4/32"]);
        assert!(pools.mark_foreign(ip("10.9.0.4")));
        assert!(!pools.mark_foreign(ip("10.9.0.5")));
        pools.restore(ip("10.9.0.4")).unwrap();
        assert_eq!(pools.list()[0].state, State::Foreign);
        assert!(pools.lease(Family::V4).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_on_its_way_back_is_waited_for_and_no_longer_than_said() {
        let pools = pools(&["10.9.0.4/32"]);
        let lease = pools.lease(Family::V4).unwrap();
        let wait = Duration::from_secs(1);
        assert!(pools.lease_within(Family::V4, wait).await.is_err());
        let later = async {
            tokio::time::sleep(wait / 2).await;
            drop(lease);
        };
        let (next, ()) = tokio::join!(pools.lease_within(Family::V4, wait), later);
        assert!(next.is_ok());
    }

    #[derive(Clone, Debug)]
    enum Deed {
        Lease(bool),
        Return(usize),
        Withdraw(u8),
        Restore(u8),
        Foreign(u8),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            4 => any::<bool>().prop_map(Deed::Lease),
            4 => any::<usize>().prop_map(Deed::Return),
            1 => any::<u8>().prop_map(Deed::Withdraw),
            1 => any::<u8>().prop_map(Deed::Restore),
            1 => any::<u8>().prop_map(Deed::Foreign),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_no_address_is_lent_twice_and_none_is_lost(
            deeds in proptest::collection::vec(deed(), 0..200)
        ) {
            let pools = pools(&["10.9.0.0/29", "fd00::/125"]);
            let all: Vec<_> = pools.list().iter().map(|it| it.address).collect();
            let pick = |number: u8| all[usize::from(number) % all.len()];
            let (mut held, mut withdrawn) = (Vec::<Lease>::new(), BTreeSet::new());
            let mut foreign = BTreeSet::new();
            for deed in deeds {
                match deed {
                    Deed::Lease(four) => {
                        let family = if four { Family::V4 } else { Family::V6 };
                        let holds = |it: &IpAddr| held.iter().any(|lease| lease.address() == *it);
                        let free = |it: &&IpAddr| Family::of(**it) == family && !holds(it)
                            && !withdrawn.contains(*it) && !foreign.contains(*it);
                        let free: BTreeSet<_> = all.iter().filter(free).copied().collect();
                        match pools.lease(family) {
                            Ok(lease) => {
                                prop_assert!(free.contains(&lease.address()));
                                held.push(lease);
                            }
                            Err(_) => prop_assert!(free.is_empty()),
                        }
                    }
                    Deed::Return(number) if !held.is_empty() => {
                        held.swap_remove(number % held.len());
                    }
                    Deed::Return(_) => {}
                    Deed::Withdraw(number) => {
                        pools.withdraw(pick(number)).unwrap();
                        withdrawn.insert(pick(number));
                    }
                    Deed::Restore(number) => {
                        pools.restore(pick(number)).unwrap();
                        withdrawn.remove(&pick(number));
                    }
                    Deed::Foreign(number) => {
                        pools.mark_foreign(pick(number));
                        foreign.insert(pick(number));
                    }
                }
                let leased = |it: &Listed| matches!(it.state, State::Leased { .. });
                let found: BTreeSet<_> = pools.list().into_iter().filter(leased).map(|it| it.address).collect();
                let expected: BTreeSet<_> = held.iter().map(Lease::address).collect();
                prop_assert_eq!(found.len(), held.len());
                prop_assert_eq!(found, expected);
            }
            held.clear();
            let mut lent = Vec::new();
            while let Ok(lease) = pools.lease(Family::V4).or_else(|_| pools.lease(Family::V6)) {
                lent.push(lease);
            }
            prop_assert_eq!(lent.len(), all.len() - withdrawn.union(&foreign).count());
        }

        #[test]
        fn leases_of_many_threads_are_all_different(threads in 2usize..6) {
            let pools = pools(&["10.9.0.0/28"]);
            let taken = Mutex::new(BTreeSet::new());
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| for _ in 0..200 {
                        let Ok(lease) = pools.lease(Family::V4) else { continue };
                        assert!(taken.lock().insert(lease.address()), "lent twice");
                        taken.lock().remove(&lease.address());
                    });
                }
            });
        }
    }
}
