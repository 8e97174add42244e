//! What [`Pools`](super::Pools) and each [`Lease`](super::Lease) share: the table of addresses.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::net::observer::LeaseObserver;
use crate::net::pool::Pool;
use crate::net::table::{Entry, Table};

/// An address that no pool has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is in no pool")]
pub struct UnknownAddress(pub IpAddr);

#[derive(Default)]
pub(super) struct Lending {
    pub(super) pools: Vec<Arc<Pool>>,
    pub(super) table: Mutex<Table>,
    /// Wakes those who wait for an address.
    pub(super) returned: Notify,
    pub(super) observer: OnceLock<Arc<dyn LeaseObserver>>,
}

impl Lending {
    pub(super) fn new(pools: Vec<Arc<Pool>>, table: Table) -> Self {
        let table = Mutex::new(table);
        Self { pools, table, returned: Notify::new(), observer: OnceLock::new() }
    }

    pub(super) fn count(&self, event: impl FnOnce(&dyn LeaseObserver)) {
        if let Some(observer) = self.observer.get() {
            event(&**observer);
        }
    }

    /// Notes which island uses a leased address.
    pub(super) fn assign(&self, address: IpAddr, island: &str) {
        let island = Some(Some(island.to_owned()));
        let _ = self.change(address, |entry| entry.leased = island);
    }

    /// Ends a lease.
    pub(super) fn release(&self, address: IpAddr) {
        let _ = self.change(address, |entry| entry.leased = None);
        self.count(|observer| observer.in_use(false));
        self.returned.notify_waiters();
    }

    pub(super) fn change(
        &self,
        address: IpAddr,
        change: impl FnOnce(&mut Entry),
    ) -> Result<(), UnknownAddress> {
        self.table.lock().change(address, change).ok_or(UnknownAddress(address))
    }
}
