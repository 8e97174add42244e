//! What stands by for one function.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::Usage;
use crate::id::IslandId;
use crate::pool::function::Function;
use crate::pool::idle::IdleCheck;
use crate::pool::rate::CallRate;
use crate::run::instance::Running;
use crate::spec::{Label, Spec};

/// How long a function has none after one that did not stand still or could not be made, or after some that ended.
pub(super) const REST: Duration = Duration::from_secs(60);
/// How many may end while they stand by, one after the other.
pub(super) const DEATHS: u32 = 3;
/// What stands by for one function.
pub(crate) struct Group {
    pub(crate) artifact: String,
    /// How they are made.
    pub(super) spec: Arc<Spec>,
    /// The oldest first.
    pub(super) waiting: VecDeque<WarmIsland>,
    /// Those asked for that are not in `waiting` yet.
    pub(super) asked: usize,
    pub(crate) rate: CallRate,
    /// None is made before this.
    pub(super) rests: Option<Instant>,
    /// How many have ended while they stood by, since one was called.
    pub(super) deaths: u32,
}

/// An island that stands by.
pub(crate) struct WarmIsland {
    pub(crate) running: Running,
    pub(super) idle_check: IdleCheck,
}

impl WarmIsland {
    pub(crate) fn new(running: Running) -> Self {
        Self { running, idle_check: IdleCheck::default() }
    }
}

impl Group {
    /// None stands by yet; they will be made as `spec` says, whatever it is called with.
    pub(crate) fn new(function: &Function, spec: &Spec, now: Instant) -> Self {
        let label = Label { call: None, ..spec.label.clone() };
        let spec = Spec { arguments: Some(Vec::new()), label, ..spec.clone() };
        Self {
            artifact: function.artifact.clone(),
            spec: Arc::new(spec),
            waiting: VecDeque::new(),
            asked: 0,
            rate: CallRate::new(now),
            rests: None,
            deaths: 0,
        }
    }

    /// Whether its islands can serve a call of this artifact with this setup, whatever the call is bounded by.
    pub(crate) fn is_for(&self, function: &Function, spec: &Spec) -> bool {
        self.artifact == function.artifact && self.spec.setup.serves(&spec.setup)
    }

    pub(super) fn count(&self) -> usize {
        self.waiting.len() + self.asked
    }
}

impl Group {
    /// Gives up those that have ended, and all when one does not stand still.
    pub(super) fn look(
        &mut self,
        name: &str,
        now: Instant,
        usage: &HashMap<IslandId, Usage>,
        ended: &mut Vec<WarmIsland>,
    ) {
        let mut restless = false;
        for mut warm in std::mem::take(&mut self.waiting) {
            let alive = warm.running.is_alive();
            let usage = usage.get(warm.running.id());
            if alive {
                restless |= usage.is_some_and(|it| !warm.idle_check.stands_still(now, *it));
                self.waiting.push_back(warm);
            } else if !warm.running.is_stopped() {
                self.deaths += 1;
            }
        }
        restless |= self.deaths >= DEATHS;
        if restless {
            tracing::warn!(
                module = name.lines().next().unwrap_or_default(),
                "its islands do not stand still, so none stands by for a while"
            );
            self.rests = Some(now + REST);
            ended.extend(self.waiting.drain(..));
        }
    }
}
