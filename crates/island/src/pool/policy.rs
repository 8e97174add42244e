//! Which islands stand by, and whether another one may: decisions and counts, nothing that waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::idle::IdleCheck;
use crate::pool::rate::CallRate;
use crate::pool::warm::{Function, PoolLimits};
use crate::run::instance::Running;
use crate::spec::{Label, Spec};

/// How long a function has none after one that did not stand still or could not be made, or after some that ended.
const REST: Duration = Duration::from_secs(60);
/// How many may end while they stand by, one after the other.
const DEATHS: u32 = 3;
/// Below this part of the host's memory none stand by.
const PRESSURE: f64 = 0.05;

/// All that stand by.
pub(crate) struct PoolPolicy {
    pub(crate) groups: HashMap<String, Group>,
    limits: PoolLimits,
    /// Programs that may get ready at one time, and those that do.
    at_once: usize,
    starting: usize,
    /// Functions that would have had one more made, each once.
    turned_away: VecDeque<Function>,
    /// The host has little memory left.
    pressed: bool,
    closed: bool,
}

/// What stands by for one function.
pub(crate) struct Group {
    pub(crate) artifact: String,
    /// How they are made.
    spec: Arc<Spec>,
    /// The oldest first.
    waiting: VecDeque<WarmIsland>,
    /// Those asked for that are not in `waiting` yet.
    asked: usize,
    pub(crate) rate: CallRate,
    /// None is made before this.
    rests: Option<Instant>,
    /// How many have ended while they stood by, since one was called.
    deaths: u32,
}

/// An island that stands by.
pub(crate) struct WarmIsland {
    pub(crate) running: Running,
    idle_check: IdleCheck,
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

    /// Whether it is for this artifact, with these limits.
    pub(crate) fn is_for(&self, function: &Function, spec: &Spec) -> bool {
        self.artifact == function.artifact && self.spec.limits == spec.limits
    }

    fn count(&self) -> usize {
        self.waiting.len() + self.asked
    }
}

impl PoolPolicy {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let (groups, turned_away) = (HashMap::new(), VecDeque::new());
        Self { groups, limits, at_once, starting: 0, turned_away, pressed: false, closed: false }
    }

    pub(crate) fn set_limits(&mut self, limits: PoolLimits) {
        self.limits = limits;
    }

    /// How many stand by, those asked for included.
    pub(crate) fn count(&self) -> usize {
        self.groups.values().map(Group::count).sum()
    }

    /// How many stand by for a function.
    pub(crate) fn waiting(&mut self, function: &Function) -> usize {
        self.group(function).map_or(0, |group| group.waiting.len())
    }

    /// How many stand by for a function and are ready to be called; none when no further one is to come.
    pub(crate) fn ready(&mut self, function: &Function) -> Option<usize> {
        let in_line = self.turned_away.contains(function);
        let group = self.group(function)?;
        let ready = group.waiting.iter().filter(|one| one.running.is_warm()).count();
        (in_line || group.count() > 0).then_some(ready)
    }

    fn group(&mut self, function: &Function) -> Option<&mut Group> {
        let group = self.groups.get_mut(&function.name);
        group.filter(|group| group.artifact == function.artifact)
    }

    /// The oldest that stands by for a function.
    pub(crate) fn take(&mut self, function: &Function) -> Option<WarmIsland> {
        self.group(function)?.waiting.pop_front()
    }

    /// Asks for one more, if there may be one more: how to make it, and what is to be given up for it.
    pub(crate) fn begin(
        &mut self,
        function: &Function,
        now: Instant,
    ) -> Option<(Arc<Spec>, Option<WarmIsland>)> {
        if self.closed || self.pressed {
            return None;
        }
        let (most, full) = (self.limits.per_function, self.count() >= self.limits.total);
        let group = self.group(function)?;
        let rests = group.rests.is_some_and(|until| now < until);
        if rests || group.count() >= group.rate.wanted(now, most) {
            return None;
        }
        if self.starting >= self.at_once {
            if !self.turned_away.contains(function) {
                self.turned_away.push_back(function.clone());
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

    /// One of the function that was not called for the longest time, unless that is this one.
    fn least_called(&mut self, name: &str) -> Option<WarmIsland> {
        let having = self.groups.iter_mut().filter(|(_, group)| !group.waiting.is_empty());
        let (other, group) = having.min_by_key(|(_, group)| group.rate.last())?;
        if other == name { None } else { group.waiting.pop_front() }
    }

    /// One more stands by, though its program may still be starting: what it is called with waits for it. Hands it back
    /// when nobody wants it any more.
    pub(crate) fn add(
        &mut self,
        function: &Function,
        spec: &Arc<Spec>,
        warm: WarmIsland,
    ) -> Option<WarmIsland> {
        let closed = self.closed;
        // Since it was asked for the function may have got other limits.
        let wanted = |group: &&mut Group| !closed && Arc::ptr_eq(&group.spec, spec);
        match self.group(function).filter(wanted) {
            Some(group) => {
                group.asked = group.asked.saturating_sub(1);
                group.waiting.push_back(warm);
                None
            }
            None => Some(warm),
        }
    }

    /// One that was asked for could not be made.
    pub(crate) fn give_up(&mut self, function: &Function, now: Instant) {
        if let Some(group) = self.group(function) {
            group.asked = group.asked.saturating_sub(1);
            group.rests = Some(now + REST);
        }
    }

    /// One that was asked for has got ready within that time, or has not and is waited for no more. Hands out who
    /// may ask again, in turn.
    pub(crate) fn made(
        &mut self,
        function: &Function,
        ready: Option<Duration>,
    ) -> VecDeque<Function> {
        self.starting = self.starting.saturating_sub(1);
        if let (Some(group), Some(time)) = (self.group(function), ready) {
            group.rate.made(time);
        }
        let mut next = std::mem::take(&mut self.turned_away);
        if !next.contains(function) {
            next.push_back(function.clone());
        }
        next
    }

    /// One that stood by has taken its call up, or has ended before it could.
    pub(crate) fn called(&mut self, function: &Function, begun: bool, now: Instant) {
        let Some(group) = self.group(function) else { return };
        group.deaths = if begun { 0 } else { group.deaths + 1 };
        if group.deaths >= DEATHS {
            group.rests = Some(now + REST);
        }
    }

    /// Gives all up for good.
    pub(crate) fn close(&mut self) -> Vec<WarmIsland> {
        self.closed = true;
        self.groups.drain().flat_map(|(_, group)| group.waiting).collect()
    }

    /// Looks at all that stand by; hands out those that are to be ended. `free` is the free part of the host's memory.
    pub(crate) fn look(&mut self, now: Instant, free: Option<f64>) -> Vec<WarmIsland> {
        self.pressed = free.is_some_and(|free| free < PRESSURE);
        let mut ended = Vec::new();
        for (name, group) in &mut self.groups {
            let idle = now.saturating_duration_since(group.rate.last()) > self.limits.idle;
            if idle || self.pressed {
                ended.extend(group.waiting.drain(..));
            }
            // One at a time: the next calls may come as fast as the last ones.
            if group.waiting.len() > group.rate.wanted(now, self.limits.per_function) {
                ended.extend(group.waiting.pop_front());
            }
            group.look(name, now, &mut ended);
        }
        self.groups.retain(|_, group| {
            group.count() > 0
                || group.rests.is_some_and(|until| now < until)
                || now.saturating_duration_since(group.rate.last()) <= self.limits.idle
        });
        while (self.memory() > self.limits.memory || self.count() > self.limits.total)
            && let Some(one) = self.least_called("")
        {
            ended.push(one);
        }
        ended
    }

    /// Bytes of memory that all hold together. One that cannot be looked at may hold all that it may use.
    fn memory(&self) -> u64 {
        let of = |group: &Group| {
            let most = group.spec.limits.memory;
            group.waiting.iter().map(|one| one.idle_check.memory.unwrap_or(most)).sum::<u64>()
        };
        self.groups.values().map(of).sum()
    }
}

impl Group {
    /// Gives up those that have ended, and all when one does not stand still.
    fn look(&mut self, name: &str, now: Instant, ended: &mut Vec<WarmIsland>) {
        let mut restless = false;
        for mut warm in std::mem::take(&mut self.waiting) {
            let alive = warm.running.is_alive();
            let usage = warm.running.usage();
            if alive {
                restless |= usage.is_some_and(|it| !warm.idle_check.stands_still(now, it));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Limits;

    fn function() -> (Function, Spec) {
        let limits = Limits {
            deadline: Duration::from_secs(1),
            memory: 1,
            processes: 1,
            output: 1,
            tmp: 1,
            disk: None,
        };
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
        policy.look(now, Some(0.01));
        assert!(policy.begin(&function, now).is_none());
        policy.look(now, Some(0.5));
        assert!(policy.begin(&function, now).is_some());
    }

    #[test]
    fn another_artifact_and_other_limits_are_for_another_group() {
        let (function, spec) = function();
        let group = Group::new(&function, &spec, Instant::now());
        assert!(group.is_for(&function, &Spec { arguments: Some(vec![1]), ..spec.clone() }));
        let more = Limits { memory: 2, ..spec.limits.clone() };
        assert!(!group.is_for(&function, &Spec { limits: more, ..spec.clone() }));
        let newer = Function { artifact: "b".into(), ..function };
        assert!(!group.is_for(&newer, &spec));
    }

    #[test]
    fn one_that_could_not_be_made_is_not_tried_again_for_a_while() {
        let now = Instant::now();
        let (mut policy, function) = policy(now);
        assert!(policy.begin(&function, now).is_some());
        policy.give_up(&function, now);
        policy.made(&function, None);
        assert_eq!(policy.count(), 0);
        assert!(policy.begin(&function, now + REST / 2).is_none());
        assert!(policy.begin(&function, now + REST).is_some());
    }

    #[test]
    fn what_is_refused_for_others_that_start_is_asked_for_again_when_one_has_started() {
        let now = Instant::now();
        let (mut policy, function) = policy(now);
        policy.at_once = 1;
        (0..9).for_each(|_| policy.groups.get_mut("f").unwrap().rate.called(now));
        policy.groups.get_mut("f").unwrap().rate.made(Duration::from_secs(1));
        assert!(policy.begin(&function, now).is_some());
        assert!(policy.begin(&function, now).is_none());
        assert_eq!(policy.made(&function, None), VecDeque::from([function.clone()]));
        assert!(policy.begin(&function, now).is_some());
    }

    #[test]
    fn a_function_that_nobody_calls_is_forgotten() {
        let now = Instant::now();
        let (mut policy, _) = policy(now);
        policy.look(now + Duration::from_secs(9), None);
        assert_eq!(policy.groups.len(), 1);
        policy.look(now + Duration::from_secs(11), None);
        assert!(policy.groups.is_empty());
    }
}
