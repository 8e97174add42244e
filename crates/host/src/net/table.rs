//! Which address is lent, withdrawn or foreign, and the line of those that wait to be lent.
//!
//! What must always hold: an address is in the line exactly when it is neither leased nor withdrawn nor foreign; one
//! that was returned goes to the end.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::SystemTime;

use crate::net::range::Family;

#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<IpAddr, Entry>,
    /// The addresses of each family that can be lent, in this order.
    pub(super) waiting: [VecDeque<IpAddr>; 2],
}

pub(super) struct Entry {
    pub(super) pool: usize,
    /// Leased, and to which island as soon as that is known.
    pub(super) leased: Option<Option<String>>,
    pub(super) withdrawn: bool,
    pub(super) foreign: bool,
    /// When that became so.
    pub(super) since: SystemTime,
}

/// What an address is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits to be lent.
    Free,
    /// An island has it.
    Leased {
        /// Which; none while the island is being made.
        island: Option<String>,
        /// It leaves the pool when it is returned.
        withdrawn: bool,
    },
    /// An operator has taken it out of the pool.
    Withdrawn,
    /// Somebody else has it.
    Foreign,
}

impl Entry {
    /// One that waits to be lent.
    pub(super) fn new(pool: usize, since: SystemTime) -> Self {
        Self { pool, leased: None, withdrawn: false, foreign: false, since }
    }

    /// Lends it, to nobody that is known yet.
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

    pub(super) fn state(&self) -> State {
        match &self.leased {
            Some(island) => State::Leased { island: island.clone(), withdrawn: self.withdrawn },
            None if self.foreign => State::Foreign,
            None if self.withdrawn => State::Withdrawn,
            None => State::Free,
        }
    }
}

impl Table {
    /// Changes an entry and keeps the line in step with it; none when no pool has the address.
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
        let line = &mut self.waiting[Family::of(address) as usize];
        match (before, entry.can_be_lent()) {
            (false, true) => line.push_back(address),
            (true, false) => line.retain(|waiting| *waiting != address),
            _ => {}
        }
        Some(())
    }
}
