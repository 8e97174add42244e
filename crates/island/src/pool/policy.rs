//! Which warm islands there are, and whether another one may start: decisions and counts, nothing
//! that waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::Usage;
use crate::id::IslandId;
use crate::pool::function::Function;
use crate::pool::group::{Group, WarmIsland};
use crate::spec::Spec;

/// The free part of the host's memory below which there are no warm islands.
const PRESSURE: f64 = 0.05;

/// How many warm islands there may be.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Of one function.
    pub per_function: usize,
    /// Of all functions; 0 for none at all.
    pub total: usize,
    /// Bytes of memory that all warm islands together may use.
    pub memory: u64,
    /// How long a function without calls keeps its warm islands.
    pub idle: Duration,
}

/// The warm islands of all functions, and the limits that they are within.
pub(crate) struct PoolPolicy {
    pub(crate) groups: HashMap<String, Group>,
    limits: PoolLimits,
    /// How many islands may hold a starting slot at one time.
    slots: usize,
    /// How many islands hold one.
    starting: usize,
    /// Functions that wanted an island while there was no starting slot, each once.
    without_slot: VecDeque<Function>,
    /// The host has little memory left.
    is_pressed: bool,
    is_closed: bool,
}

impl PoolPolicy {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        let slots = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self {
            groups: HashMap::new(),
            limits,
            slots,
            starting: 0,
            without_slot: VecDeque::new(),
            is_pressed: false,
            is_closed: false,
        }
    }

    pub(crate) fn limits(&self) -> PoolLimits {
        self.limits
    }

    pub(crate) fn set_limits(&mut self, limits: PoolLimits) {
        self.limits = limits;
    }

    /// How many warm islands there are, including islands in the making.
    pub(crate) fn count(&self) -> usize {
        self.groups.values().map(Group::count).sum()
    }

    /// How many islands of a function wait for a call, or start.
    pub(crate) fn waiting(&mut self, function: &Function) -> usize {
        self.group(function).map_or(0, |group| group.waiting.len())
    }

    /// How many islands of a function are ready to be called; none where no further one is to come.
    pub(crate) fn ready(&mut self, function: &Function) -> Option<usize> {
        let waits_for_slot = self.without_slot.contains(function);
        let group = self.group(function)?;
        let ready = group.waiting.iter().filter(|one| one.running.is_warm()).count();
        (waits_for_slot || group.count() > 0).then_some(ready)
    }

    fn group(&mut self, function: &Function) -> Option<&mut Group> {
        self.groups.get_mut(&function.name).filter(|group| group.has(function))
    }

    /// Takes the oldest warm island of a function.
    pub(crate) fn take(&mut self, function: &Function) -> Option<WarmIsland> {
        self.group(function)?.waiting.pop_front()
    }

    /// Takes a starting slot for another island of a function, if the limits allow one: how to make
    /// the island, and which other island has to end for it.
    pub(crate) fn begin(
        &mut self,
        function: &Function,
        now: Instant,
    ) -> Option<(Arc<Spec>, Option<WarmIsland>)> {
        if self.is_closed || self.is_pressed {
            return None;
        }
        let (most, full) = (self.limits.per_function, self.count() >= self.limits.total);
        let group = self.group(function)?;
        if group.is_resting(now) || group.count() >= group.rate.wanted(now, most) {
            return None;
        }
        if self.starting >= self.slots {
            if !self.without_slot.contains(function) {
                self.without_slot.push_back(function.clone());
            }
            return None;
        }
        let surplus = if full { Some(self.least_called(&function.name)?) } else { None };
        let group = self.group(function)?;
        group.asked += 1;
        let spec = group.spec.clone();
        self.starting += 1;
        Some((spec, surplus))
    }

    /// Takes an island of the function whose last call is the longest ago, unless that function is
    /// `name`.
    fn least_called(&mut self, name: &str) -> Option<WarmIsland> {
        let having = self.groups.iter_mut().filter(|(_, group)| !group.waiting.is_empty());
        let (other, group) = having.min_by_key(|(_, group)| group.rate.last())?;
        if other == name { None } else { group.waiting.pop_front() }
    }

    /// Adds an island that was made as `spec` says. Its program may still be starting: the call
    /// channel keeps the arguments of a call for it. Returns the island where no group wants it any
    /// more.
    pub(crate) fn add(
        &mut self,
        function: &Function,
        spec: &Arc<Spec>,
        warm: WarmIsland,
    ) -> Option<WarmIsland> {
        let is_closed = self.is_closed;
        // Meanwhile the function may have got another setup.
        let wants = |group: &&mut Group| !is_closed && Arc::ptr_eq(&group.spec, spec);
        match self.group(function).filter(wants) {
            Some(group) => {
                group.asked = group.asked.saturating_sub(1);
                group.waiting.push_back(warm);
                None
            }
            None => Some(warm),
        }
    }

    /// An island could not be made.
    pub(crate) fn failed(&mut self, function: &Function, why: &str, now: Instant) {
        if let Some(group) = self.group(function) {
            group.asked = group.asked.saturating_sub(1);
            group.rest(now, &format!("the island could not start: {why}"));
        }
    }

    /// The program of an island was ready after `time`.
    pub(crate) fn started(&mut self, function: &Function, time: Duration) {
        if let Some(group) = self.group(function) {
            group.rate.started(time);
        }
    }

    /// Releases the starting slot of a function's island. Returns the functions that may begin
    /// another one, in turn.
    pub(crate) fn release_slot(&mut self, function: &Function) -> VecDeque<Function> {
        self.starting = self.starting.saturating_sub(1);
        let mut next = std::mem::take(&mut self.without_slot);
        if !next.contains(function) {
            next.push_back(function.clone());
        }
        next
    }

    /// A warm island has served a call.
    pub(crate) fn served(&mut self, function: &Function) {
        if let Some(group) = self.group(function) {
            group.served();
        }
    }

    /// A warm island has exited before it took up a call.
    pub(crate) fn exited(&mut self, function: &Function, now: Instant) {
        if let Some(group) = self.group(function) {
            group.exited(now);
        }
    }

    /// Returns all warm islands; there will be no other.
    pub(crate) fn close(&mut self) -> Vec<WarmIsland> {
        self.is_closed = true;
        self.groups.drain().flat_map(|(_, group)| group.waiting).collect()
    }

    /// The names of all warm islands, for the question what they use.
    pub(crate) fn ask_usage(&mut self) -> Vec<IslandId> {
        let all = self.groups.values_mut().flat_map(|group| &mut group.waiting);
        all.map(WarmIsland::ask_usage).collect()
    }

    /// Looks at all warm islands and returns the ones that are to end. `free` is the free part of
    /// the host's memory, `usage` what the islands use.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        free: Option<f64>,
        usage: &HashMap<IslandId, Usage>,
    ) -> Vec<WarmIsland> {
        self.is_pressed = free.is_some_and(|free| free < PRESSURE);
        let mut ended = Vec::new();
        for group in self.groups.values_mut() {
            let is_unused = now.saturating_duration_since(group.rate.last()) > self.limits.idle;
            if is_unused || self.is_pressed {
                ended.extend(group.waiting.drain(..));
            }
            // One at a time: the next calls may come as fast as the last ones.
            if group.waiting.len() > group.rate.wanted(now, self.limits.per_function) {
                ended.extend(group.waiting.pop_front());
            }
            group.look(now, usage, &mut ended);
        }
        self.groups.retain(|_, group| {
            group.count() > 0
                || group.is_resting(now)
                || now.saturating_duration_since(group.rate.last()) <= self.limits.idle
        });
        while (self.memory() > self.limits.memory || self.count() > self.limits.total)
            && let Some(one) = self.least_called("")
        {
            ended.push(one);
        }
        ended
    }

    /// Whether no function was called lately, and all warm islands do nothing but wait.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.groups.values().all(|group| group.is_quiet(now))
    }

    /// Bytes of memory that all warm islands use together.
    fn memory(&self) -> u64 {
        let of = |group: &Group| {
            let limit = group.spec.setup.resources.memory;
            group.waiting.iter().map(|warm| warm.memory(limit)).fold(0, u64::saturating_add)
        };
        self.groups.values().map(of).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::group::REST;
    use crate::spec::{Bounds, Limits, Resources};

    fn function() -> (Function, Spec) {
        let resources =
            Resources { memory: 1, processes: 1, processor_time: None, tmp: 1, disk: None };
        let bounds = Bounds { deadline: Duration::from_secs(1), output: 1 };
        let limits = Limits { resources, bounds };
        let program = Arc::new(std::fs::File::open("/dev/null").unwrap());
        let function = Function { name: "f".into(), artifact: "a".into() };
        (function, Spec::function(program, limits))
    }

    fn policy(now: Instant) -> (PoolPolicy, Function) {
        let idle = Duration::from_secs(10);
        let limits = PoolLimits { per_function: 4, total: 4, memory: 1 << 30, idle };
        let ((function, spec), mut policy) = (function(), PoolPolicy::new(limits));
        policy.groups.insert(function.name.clone(), Group::new(&function, &spec, now));
        (policy, function)
    }

    #[test]
    fn none_is_made_while_the_host_is_short_of_memory() {
        let now = Instant::now();
        let (mut policy, function) = policy(now);
        policy.look(now, Some(0.01), &HashMap::new());
        assert!(policy.begin(&function, now).is_none());
        policy.look(now, Some(0.5), &HashMap::new());
        assert!(policy.begin(&function, now).is_some());
    }

    #[test]
    fn another_artifact_and_another_setup_are_for_another_group_and_other_bounds_are_not() {
        let (function, spec) = function();
        let group = Group::new(&function, &spec, Instant::now());
        assert!(group.is_for(&function, &Spec { arguments: Some(vec![1]), ..spec.clone() }));
        let mut with_more_memory = spec.clone();
        with_more_memory.setup.resources.memory = 2;
        assert!(!group.is_for(&function, &with_more_memory));
        let bounds = Bounds { deadline: Duration::from_secs(9), output: 9 };
        assert!(group.is_for(&function, &Spec { bounds, ..spec.clone() }));
        let newer = Function { artifact: "b".into(), ..function };
        assert!(!group.is_for(&newer, &spec));
    }

    #[test]
    fn an_island_that_could_not_be_made_is_tried_again_after_a_rest() {
        let now = Instant::now();
        let (mut policy, function) = policy(now);
        assert!(policy.begin(&function, now).is_some());
        policy.failed(&function, "no descriptors", now);
        policy.release_slot(&function);
        assert_eq!(policy.count(), 0);
        assert!(policy.begin(&function, now + REST / 2).is_none());
        assert!(policy.begin(&function, now + REST).is_some());
    }

    #[test]
    fn a_function_without_a_slot_gets_the_next_one() {
        let now = Instant::now();
        let (mut policy, function) = policy(now);
        policy.slots = 1;
        (0..9).for_each(|_| policy.groups.get_mut("f").unwrap().rate.called(now));
        policy.groups.get_mut("f").unwrap().rate.started(Duration::from_secs(1));
        assert!(policy.begin(&function, now).is_some());
        assert!(policy.begin(&function, now).is_none());
        assert_eq!(policy.release_slot(&function), VecDeque::from([function.clone()]));
        assert!(policy.begin(&function, now).is_some());
    }

    #[test]
    fn a_function_without_calls_loses_its_group() {
        let now = Instant::now();
        let (mut policy, _) = policy(now);
        policy.look(now + Duration::from_secs(9), None, &HashMap::new());
        assert_eq!(policy.groups.len(), 1);
        policy.look(now + Duration::from_secs(11), None, &HashMap::new());
        assert!(policy.groups.is_empty());
    }
}
