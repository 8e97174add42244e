//! The islands that somebody has in hand: for whom, since when, and what they are doing.
//!
//! What must always hold: an island is in here from its start until whoever has it lets it go; one that an operator has
//! stopped is known as such until then, so that its call can say why it has no answer. A call costs two short locks.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::id::IslandId;
use crate::spec::{Label, Purpose, Rights, Spec};

/// The most islands that are remembered as stopped before anybody had them.
const EARLY: usize = 1024;

/// What an island is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It was made ahead, and nobody has it yet.
    Prefork,
    /// It is being made, or its program is getting ready.
    Starting,
    /// Its program waits to be called.
    Warm,
    /// It fetches, builds or runs a call.
    Running,
    /// It has answered, or is being ended.
    Ending,
}

impl State {
    /// All of them, in the order of an island's life.
    pub const ALL: [Self; 5] =
        [Self::Prefork, Self::Starting, Self::Warm, Self::Running, Self::Ending];

    /// Its name for operators.
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
    pub(crate) state: State,
    pub(crate) label: Label,
    pub(crate) used: Use,
}

#[derive(Default)]
pub(crate) struct Registry {
    members: Mutex<HashMap<IslandId, Arc<Member>>>,
    /// Stopped before anybody had them.
    early: Mutex<HashSet<IslandId>>,
}

struct Member {
    /// A place in [`State::ALL`].
    state: AtomicU8,
    stopped: AtomicBool,
    label: Mutex<Label>,
    used: Use,
}

/// A place in the roster. Dropping it gives it up.
pub(crate) struct RegistryEntry {
    registry: Arc<Registry>,
    id: IslandId,
    member: Arc<Member>,
}

impl Registry {
    /// Takes an island in that has just been started.
    pub(crate) fn enter(self: &Arc<Self>, id: IslandId, spec: &Spec) -> RegistryEntry {
        let tool = match &spec.rights {
            Rights::Function => None,
            Rights::Tool(tool) => Some(tool.purpose),
        };
        let used = Use { tool, address: spec.address.as_ref().map(|lease| lease.address()) };
        let member = Arc::new(Member {
            state: AtomicU8::new(State::Starting as u8),
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

    /// Remembers that an operator has stopped an island, whether somebody has it already or not.
    pub(crate) fn stop(&self, id: &IslandId) {
        let members = self.members.lock();
        match members.get(id) {
            Some(member) => member.stopped.store(true, Ordering::Relaxed),
            None => {
                let mut early = self.early.lock();
                // Whoever was to have those has long heard of their end.
                if early.len() >= EARLY {
                    early.clear();
                }
                early.insert(id.clone());
            }
        }
    }

    /// What is known of an island that somebody has.
    pub(crate) fn find(&self, id: &IslandId) -> Option<IslandRecord> {
        Some(self.members.lock().get(id)?.known())
    }
}

impl Member {
    fn state(&self) -> State {
        let entry = usize::from(self.state.load(Ordering::Relaxed));
        State::ALL.get(entry).copied().unwrap_or(State::Ending)
    }

    fn known(&self) -> IslandRecord {
        IslandRecord { state: self.state(), label: self.label.lock().clone(), used: self.used }
    }
}

impl RegistryEntry {
    pub(crate) fn id(&self) -> &IslandId {
        &self.id
    }

    /// Its program is ready, unless it has been called already.
    pub(crate) fn set_warm(&self) {
        let (from, to) = (State::Starting as u8, State::Warm as u8);
        let order = Ordering::Relaxed;
        let _ = self.member.state.compare_exchange(from, to, order, order);
    }

    /// It serves somebody.
    pub(crate) fn serves(&self, label: &Label) {
        *self.member.label.lock() = label.clone();
        self.member.state.store(State::Running as u8, Ordering::Relaxed);
    }

    /// It is on its way out.
    pub(crate) fn ends(&self) {
        self.member.state.store(State::Ending as u8, Ordering::Relaxed);
    }

    pub(crate) fn is_warm(&self) -> bool {
        self.member.state() == State::Warm
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
    use crate::spec::Limits;
    use std::time::Duration;

    fn spec() -> Spec {
        let limits = Limits {
            deadline: Duration::from_secs(1),
            memory: 1,
            processes: 1,
            output: 1,
            tmp: 1,
            disk: None,
        };
        Spec::function(Arc::new(std::fs::File::open("/dev/null").unwrap()), limits)
    }

    #[test]
    fn an_island_is_known_by_what_it_does_until_it_is_let_go() {
        let (registry, id) = (Arc::new(Registry::default()), IslandId::mint());
        let entry = registry.enter(id.clone(), &spec());
        let state = || registry.find(&id).map(|known| known.state);
        assert_eq!(state(), Some(State::Starting));
        entry.set_warm();
        assert_eq!(state(), Some(State::Warm));
        let call = uuid::Uuid::now_v7();
        entry.serves(&Label { module: Some("a.b/c".into()), call: Some(call) });
        // A program may say only now that it is ready.
        entry.set_warm();
        let known = registry.find(&id).unwrap();
        assert_eq!((known.state, known.label.call), (State::Running, Some(call)));
        entry.ends();
        assert_eq!(state(), Some(State::Ending));
        drop(entry);
        assert_eq!(state(), None);
    }

    #[test]
    fn one_that_is_stopped_before_anybody_has_it_is_known_as_stopped() {
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
        for (entry, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, entry);
        }
    }
}
