//! The islands in use: what each is for, and what it is doing.
//!
//! Invariants: the table has an island from its start until its user drops the entry; until then
//! the table knows whether an operator has stopped the island, so that the call can say why it has
//! no answer. A call costs two short locks.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::id::IslandId;
use crate::spec::{Label, Purpose, Rights, Spec};

/// The most islands that the table keeps as stopped before their entry.
const EARLY: usize = 1024;

/// What an island is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IslandState {
    /// Made ahead of calls, and not in use.
    Prefork,
    /// Being made, or the program is starting.
    Starting,
    /// The program waits for a call.
    Warm,
    /// Fetching, building or running a call.
    Running,
    /// Answered, or told to end.
    Ending,
}

impl IslandState {
    /// All states, in the order of an island's life.
    pub const ALL: [Self; 5] =
        [Self::Prefork, Self::Starting, Self::Warm, Self::Running, Self::Ending];

    /// The name for operators.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prefork => "ahead",
            Self::Starting => "starting",
            Self::Warm => "standby",
            Self::Running => "running",
            Self::Ending => "ending",
        }
    }
}

/// What an island is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// None for a function.
    pub(crate) tool: Option<Purpose>,
    pub(crate) address: Option<IpAddr>,
}

/// What is known of one island.
#[derive(Clone, Debug)]
pub(crate) struct IslandRecord {
    pub(crate) state: IslandState,
    pub(crate) label: Label,
    pub(crate) used: Use,
}

#[derive(Default)]
pub(crate) struct Registry {
    members: Mutex<HashMap<IslandId, Arc<Member>>>,
    /// Islands that were stopped before their entry.
    early: Mutex<HashSet<IslandId>>,
}

struct Member {
    /// A place in [`IslandState::ALL`].
    state: AtomicU8,
    stopped: AtomicBool,
    label: Mutex<Label>,
    used: Use,
}

/// An island's entry. Dropping it removes the island from the table.
pub(crate) struct RegistryEntry {
    registry: Arc<Registry>,
    id: IslandId,
    member: Arc<Member>,
}

impl Registry {
    /// Enters an island that has just been started.
    pub(crate) fn enter(self: &Arc<Self>, id: IslandId, spec: &Spec) -> RegistryEntry {
        let tool = match &spec.setup.rights {
            Rights::Function => None,
            Rights::Tool(tool) => Some(tool.purpose),
        };
        let used = Use { tool, address: spec.setup.address.as_ref().map(|lease| lease.address()) };
        let member = Arc::new(Member {
            state: AtomicU8::new(IslandState::Starting as u8),
            stopped: AtomicBool::new(false),
            label: Mutex::new(spec.label.clone()),
            used,
        });
        self.members.lock().insert(id.clone(), member.clone());
        // Nearly always there is none.
        if self.early.lock().remove(&id) {
            member.stopped.store(true, Ordering::Relaxed);
        }
        RegistryEntry { registry: self.clone(), id, member }
    }

    /// Notes that an operator has stopped an island, which may not have an entry yet.
    pub(crate) fn stop(&self, id: &IslandId) {
        let members = self.members.lock();
        match members.get(id) {
            Some(member) => member.stopped.store(true, Ordering::Relaxed),
            None => {
                let mut early = self.early.lock();
                // The islands that were stopped so long ago have ended.
                if early.len() >= EARLY {
                    early.clear();
                }
                early.insert(id.clone());
            }
        }
    }

    /// The record of an island in use.
    pub(crate) fn find(&self, id: &IslandId) -> Option<IslandRecord> {
        Some(self.members.lock().get(id)?.known())
    }
}

impl Member {
    fn state(&self) -> IslandState {
        let entry = usize::from(self.state.load(Ordering::Relaxed));
        IslandState::ALL.get(entry).copied().unwrap_or(IslandState::Ending)
    }

    fn known(&self) -> IslandRecord {
        IslandRecord { state: self.state(), label: self.label.lock().clone(), used: self.used }
    }
}

impl RegistryEntry {
    pub(crate) fn id(&self) -> &IslandId {
        &self.id
    }

    /// The program is ready. An island that was called already stays running.
    pub(crate) fn set_warm(&self) {
        let (from, to) = (IslandState::Starting as u8, IslandState::Warm as u8);
        let order = Ordering::Relaxed;
        let _ = self.member.state.compare_exchange(from, to, order, order);
    }

    /// The island serves a use.
    pub(crate) fn serves(&self, label: &Label) {
        *self.member.label.lock() = label.clone();
        self.member.state.store(IslandState::Running as u8, Ordering::Relaxed);
    }

    /// The island is about to end.
    pub(crate) fn ends(&self) {
        self.member.state.store(IslandState::Ending as u8, Ordering::Relaxed);
    }

    pub(crate) fn is_warm(&self) -> bool {
        self.member.state() == IslandState::Warm
    }

    /// Whether an operator has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        self.member.stopped.load(Ordering::Relaxed)
    }
}

impl Drop for RegistryEntry {
    fn drop(&mut self) {
        self.registry.members.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Bounds, Limits, Resources};
    use std::time::Duration;

    fn spec() -> Spec {
        let resources =
            Resources { memory: 1, processes: 1, processor_time: None, tmp: 1, disk: None };
        let bounds = Bounds { deadline: Duration::from_secs(1), output: 1 };
        let limits = Limits { resources, bounds };
        Spec::function(Arc::new(std::fs::File::open("/dev/null").unwrap()), limits)
    }

    #[test]
    fn an_island_has_the_state_of_what_it_does_until_its_entry_is_dropped() {
        let (registry, id) = (Arc::new(Registry::default()), IslandId::mint());
        let entry = registry.enter(id.clone(), &spec());
        let state = || registry.find(&id).map(|known| known.state);
        assert_eq!(state(), Some(IslandState::Starting));
        entry.set_warm();
        assert_eq!(state(), Some(IslandState::Warm));
        let call = uuid::Uuid::now_v7();
        entry.serves(&Label { module: Some("a.b/c".into()), call: Some(call) });
        // A program may say only now that it is ready.
        entry.set_warm();
        let known = registry.find(&id).unwrap();
        assert_eq!((known.state, known.label.call), (IslandState::Running, Some(call)));
        entry.ends();
        assert_eq!(state(), Some(IslandState::Ending));
        drop(entry);
        assert_eq!(state(), None);
    }

    #[test]
    fn an_island_that_is_stopped_before_its_entry_counts_as_stopped() {
        let (registry, id) = (Arc::new(Registry::default()), IslandId::mint());
        registry.stop(&id);
        assert!(registry.enter(id.clone(), &spec()).is_stopped());
        let entry = registry.enter(id.clone(), &spec());
        assert!(!entry.is_stopped());
        registry.stop(&id);
        assert!(entry.is_stopped());
    }

    #[test]
    fn each_state_is_found_at_its_own_place() {
        for (entry, state) in IslandState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, entry);
        }
    }
}
