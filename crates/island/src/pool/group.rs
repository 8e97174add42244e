//! The warm islands of one function, and when the function has none for a while.
//!
//! Invariants: a function whose islands exit or use the processor while idle has no new warm island
//! for [`REST`], and is tried again after that; the log says so once per rest.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::Usage;
use crate::id::IslandId;
use crate::pool::function::Function;
use crate::pool::idle::IdleCheck;
use crate::pool::rate::CallRate;
use crate::run::instance::Running;
use crate::spec::{Label, Spec};

/// How long after the last call of a function its islands are looked at as often as before.
const QUIET: Duration = Duration::from_secs(5);
/// How long a function has no new warm island after a fault of its islands.
pub(super) const REST: Duration = Duration::from_secs(60);
/// How many islands in a row may exit while idle.
const EARLY_EXITS: u32 = 3;
/// Why a function rests whose islands do not wait quietly.
const IDLE_FAULT: &str = "the function exits or uses the processor while idle";

/// The warm islands of one function.
pub(crate) struct Group {
    artifact: String,
    /// What the log calls the function.
    module: String,
    /// How the islands are made.
    pub(super) spec: Arc<Spec>,
    /// The oldest first.
    pub(super) waiting: VecDeque<WarmIsland>,
    /// Islands that are being made and are not in `waiting` yet.
    pub(super) asked: usize,
    pub(crate) rate: CallRate,
    /// No island is made before this.
    rest: Option<Instant>,
    /// How many islands have exited while idle since the last call that a warm island served.
    early_exits: u32,
}

/// An island that waits for a call, or whose program is still starting.
pub(crate) struct WarmIsland {
    pub(crate) running: Running,
    idle_check: IdleCheck,
    /// The backend was asked what the island uses.
    usage_asked: bool,
}

impl WarmIsland {
    pub(crate) fn new(running: Running) -> Self {
        Self { running, idle_check: IdleCheck::default(), usage_asked: false }
    }

    /// The island's name, for the question what the island uses.
    pub(super) fn ask_usage(&mut self) -> IslandId {
        self.usage_asked = true;
        self.running.id().clone()
    }

    /// Bytes of memory that count: what the island uses, or `limit` where the backend was asked and
    /// does not know.
    pub(super) fn memory(&self, limit: u64) -> u64 {
        self.idle_check.memory.unwrap_or(if self.usage_asked { limit } else { 0 })
    }
}

impl Group {
    /// A group without islands. Islands will be made as `spec` says, without its arguments.
    pub(crate) fn new(function: &Function, spec: &Spec, now: Instant) -> Self {
        let label = Label { call: None, ..spec.label.clone() };
        let spec = Spec { arguments: Some(Vec::new()), label, ..spec.clone() };
        Self {
            artifact: function.artifact.clone(),
            module: function.module().to_owned(),
            spec: Arc::new(spec),
            waiting: VecDeque::new(),
            asked: 0,
            rate: CallRate::new(now),
            rest: None,
            early_exits: 0,
        }
    }

    /// Whether the islands can serve a call of this function with this spec. The bounds of the call
    /// do not matter.
    pub(crate) fn is_for(&self, function: &Function, spec: &Spec) -> bool {
        self.has(function) && self.spec.setup.serves(&spec.setup)
    }

    /// Whether the islands have the function's present artifact.
    pub(super) fn has(&self, function: &Function) -> bool {
        self.artifact == function.artifact
    }

    /// How many islands there are, including islands in the making.
    pub(super) fn count(&self) -> usize {
        self.waiting.len() + self.asked
    }

    /// Whether no new island may be made now.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.rest.is_some_and(|until| now < until)
    }

    /// A warm island has served a call.
    pub(super) fn served(&mut self) {
        self.early_exits = 0;
    }

    /// An island has exited while idle. True where the function has to rest for it.
    pub(super) fn exited(&mut self, now: Instant) -> bool {
        self.early_exits += 1;
        let is_fault = self.early_exits >= EARLY_EXITS;
        if is_fault {
            self.rest(now, IDLE_FAULT);
        }
        is_fault
    }

    /// Makes no island for a while.
    pub(super) fn rest(&mut self, now: Instant, why: &str) {
        self.early_exits = 0;
        if !self.is_resting(now) {
            let seconds = REST.as_secs();
            tracing::warn!(module = self.module, "warm pool disabled for {seconds} s: {why}");
            self.rest = Some(now + REST);
        }
    }

    /// Whether no call has come lately, and the islands do nothing but wait.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.rate.last());
        since >= QUIET
            && self.asked == 0
            && self.waiting.iter().all(|one| one.idle_check.is_settled())
    }

    /// Removes islands that have exited; moves the others to `ended` where one of them is at fault.
    pub(super) fn look(
        &mut self,
        now: Instant,
        usage: &HashMap<IslandId, Usage>,
        ended: &mut Vec<WarmIsland>,
    ) {
        let mut is_fault = false;
        for mut warm in std::mem::take(&mut self.waiting) {
            if warm.running.is_alive() {
                let usage = usage.get(warm.running.id());
                is_fault |= usage.is_some_and(|usage| !warm.idle_check.is_idle(now, *usage));
                self.waiting.push_back(warm);
            } else if !warm.running.is_stopped() {
                is_fault |= self.exited(now);
            }
        }
        if is_fault {
            self.rest(now, IDLE_FAULT);
            ended.extend(self.waiting.drain(..));
        }
    }
}
