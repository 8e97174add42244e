//! The state of each address, and the queue of free addresses.
//!
//! Invariants: an address is in the queue exactly when it is neither leased nor withdrawn nor
//! foreign; a returned address goes to the end.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::SystemTime;

use crate::net::range::Family;

#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<IpAddr, Entry>,
    /// The free addresses of each family, in the order in which they are lent.
    pub(super) waiting: [VecDeque<IpAddr>; 2],
}

pub(super) struct Entry {
    pub(super) pool: usize,
    /// Some if leased; the island, as soon as it is known.
    pub(super) leased: Option<Option<String>>,
    pub(super) withdrawn: bool,
    pub(super) foreign: bool,
    /// When the state changed last.
    pub(super) since: SystemTime,
}

/// The state of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// The address can be lent.
    Free,
    /// An island has it.
    Leased {
        /// The island; none while it is being created.
        island: Option<String>,
        /// The address leaves the pool when it is returned.
        withdrawn: bool,
    },
    /// An operator has taken the address out of the pool.
    Withdrawn,
    /// The host itself or a foreign jail has the address.
    Foreign,
}

impl Entry {
    /// A free address.
    pub(super) fn new(pool: usize, since: SystemTime) -> Self {
        Self { pool, leased: None, withdrawn: false, foreign: false, since }
    }

    /// Lends the address; the island is not known yet.
    pub(super) fn lend(&mut self) {
        self.leased = Some(None);
        self.since = SystemTime::now();
    }

    pub(super) fn can_be_lent(&self) -> bool {
        self.leased.is_none() && !self.withdrawn && !self.foreign
    }

    fn kind(&self) -> (bool, bool, bool) {
        (self.leased.is_some(), self.withdrawn, self.foreign)
    }

    pub(super) fn state(&self) -> AddressState {
        match &self.leased {
            Some(island) => {
                AddressState::Leased { island: island.clone(), withdrawn: self.withdrawn }
            }
            None if self.foreign => AddressState::Foreign,
            None if self.withdrawn => AddressState::Withdrawn,
            None => AddressState::Free,
        }
    }
}

impl Table {
    /// Changes an entry and updates the queue; none when no pool has the address.
    pub(super) fn change(
        &mut self,
        address: IpAddr,
        change: impl FnOnce(&mut Entry),
    ) -> Option<()> {
        let entry = self.entries.get_mut(&address)?;
        let (before, kind) = (entry.can_be_lent(), entry.kind());
        change(entry);
        if entry.kind() != kind {
            entry.since = SystemTime::now();
        }
        let queue = &mut self.waiting[Family::of(address) as usize];
        match (before, entry.can_be_lent()) {
            (false, true) => queue.push_back(address),
            (true, false) => queue.retain(|waiting| *waiting != address),
            _ => {}
        }
        Some(())
    }
}
