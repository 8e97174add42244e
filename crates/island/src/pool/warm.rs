//! Warm islands: started ahead for a function that was called before, with a program that waits to
//! be called.
//!
//! Invariants: an island serves one call or none, and ends after it; a call whose island has exited
//! before it took the call up goes to another island; there are never more islands than the limits
//! say; a call without a warm island gets a new one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{Instant, timeout};

use crate::backend::StartError;
use crate::pool::function::Function;
use crate::pool::group::{Group, WarmIsland};
use crate::pool::policy::{PoolLimits, PoolPolicy};
use crate::run::instance::Running;
use crate::run::islands::Islands;
use crate::run::outcome::{Ending, Outcome};
use crate::spec::Spec;

/// How many warm islands that have exited a call tries before it gets a new island.
const ATTEMPTS: usize = 3;
/// The pool replaces the island of a call when the call has its answer, or after this.
const REPLACE_WAIT: Duration = Duration::from_millis(2);
/// How many islands a processor may end behind their answers without keeping the execution slots of
/// their calls.
const ENDING: usize = 4;
/// How often the pool looks at its islands, and how often while nothing happens: each look wakes
/// the server a few times.
const LOOK: Duration = Duration::from_secs(1);
const QUIET_LOOK: Duration = Duration::from_secs(4);
/// How often [`WarmPool::warm`] looks whether an island is ready.
const WARM_LOOK: Duration = Duration::from_millis(10);
/// How long [`WarmPool::warm`] waits.
const READY_WAIT: Duration = Duration::from_secs(10);
/// How long an island that starts may hold a starting slot. Its program may take longer: it waits
/// for something, or works at its start for so long that other functions must not wait for it.
const SLOT_TIME: Duration = Duration::from_secs(1);

/// The warm islands; see the module.
#[derive(Clone)]
pub struct WarmPool {
    shared: Arc<Shared>,
}

struct Shared {
    islands: Islands,
    /// Whether there may be any warm island.
    allowed: AtomicBool,
    policy: Mutex<PoolPolicy>,
    /// Wakes [`look_after`].
    wake: Arc<Notify>,
    /// Permits of islands that end behind their answers without keeping the execution slots of
    /// their calls.
    ending: Arc<Semaphore>,
}

impl WarmPool {
    /// A pool that makes islands of functions within these limits.
    pub fn new(islands: Islands, limits: PoolLimits) -> Self {
        let (policy, wake) = (Mutex::new(PoolPolicy::new(limits)), Arc::new(Notify::new()));
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let ending = Arc::new(Semaphore::new(ENDING * cores));
        let allowed = AtomicBool::new(limits.total > 0);
        let shared = Arc::new(Shared { islands, allowed, policy, wake, ending });
        tokio::spawn(look_after(Arc::downgrade(&shared), shared.wake.clone()));
        Self { shared }
    }

    /// The limits that hold now.
    pub fn limits(&self) -> PoolLimits {
        self.shared.policy.lock().limits()
    }

    /// Changes the limits. The next look ends the islands that are too many.
    pub fn set_limits(&self, limits: PoolLimits) {
        self.shared.allowed.store(limits.total > 0, Ordering::Relaxed);
        self.shared.policy.lock().set_limits(limits);
        self.shared.wake.notify_one();
    }

    /// All islands, which the warm ones are some of.
    pub fn islands(&self) -> &Islands {
        &self.shared.islands
    }

    /// How many warm islands there are, including islands in the making.
    pub fn count(&self) -> usize {
        self.shared.policy.lock().count()
    }

    /// How many islands of a function wait for a call, or start.
    pub fn ready(&self, function: &Function) -> usize {
        self.shared.policy.lock().waiting(function)
    }

    /// Calls a function once, on a warm island or on a new one. The execution slot `turn` becomes
    /// free with the answer, unless too many islands are still ending then: it is kept until the
    /// island of this call has ended. Dropping the future ends the island.
    pub async fn call<T: Send + 'static>(
        &self,
        function: Option<&Function>,
        spec: &Spec,
        turn: T,
    ) -> Result<Outcome, StartError> {
        let began = Instant::now();
        let function = function.filter(|_| self.shared.allowed.load(Ordering::Relaxed));
        let _replace = function.map(|function| self.shared.clone().called(function, spec));
        for attempt in 0..ATTEMPTS {
            let Some(mut running) = function.and_then(|it| self.shared.take(it)) else { break };
            if let Some(function) = function.filter(|_| attempt > 0) {
                // The replacement for this call may be the island that was just taken.
                self.shared.fill(function);
            }
            let started = Instant::now();
            let served = running.serve(spec).await;
            if let Some(function) = function.filter(|_| !running.is_stopped()) {
                self.shared.served(function, served.begun);
            }
            if served.begun || matches!(served.ending, Ok(Ending::Stopped)) {
                self.shared.islands.observer().warm_lookup(true);
                let outcome = self.finish(running, served.ending?, [began, started], turn);
                return Ok(Outcome { warm: true, ..outcome });
            }
        }
        if function.is_some() {
            self.shared.islands.observer().warm_lookup(false);
        }
        let (running, started, ending) = match self.on_new_island(spec).await {
            Err(NotServed { begun: false, error }) => {
                let error = common::causes::chain(&error);
                tracing::warn!(%error, "an island failed before its call began; another one takes the call");
                self.on_new_island(spec).await.map_err(|again| again.error)?
            }
            served => served.map_err(|failed| failed.error)?,
        };
        Ok(self.finish(running, ending, [began, started], turn))
    }

    /// Serves a call on a new island.
    async fn on_new_island(&self, spec: &Spec) -> Result<(Running, Instant, Ending), NotServed> {
        let not_started = |error| NotServed { begun: false, error };
        let mut running = self.shared.islands.start(spec).await.map_err(not_started)?;
        let started = Instant::now();
        let served = running.serve(spec).await;
        match served.ending {
            Ok(ending) => Ok((running, started, ending)),
            Err(error) => Err(NotServed { begun: served.begun, error }),
        }
    }

    /// The outcome of a call. A task ends the island behind the answer.
    fn finish<T: Send + 'static>(
        &self,
        mut running: Running,
        ending: Ending,
        [began, started]: [Instant; 2],
        turn: T,
    ) -> Outcome {
        let outcome = running.outcome(ending, started - began, started.elapsed());
        let permit = self.shared.ending.clone().try_acquire_owned();
        let turn = if permit.is_ok() { None } else { Some(turn) };
        tokio::spawn(async move {
            if let Err(error) = running.end().await {
                let error = common::causes::chain(&error);
                tracing::warn!(%error, "an island does not end after its answer");
            }
            drop((permit, turn));
        });
        outcome
    }

    /// Makes islands warm for a function as if it had been called, and waits until one is ready.
    /// Returns how many are.
    pub async fn warm(&self, function: &Function, spec: &Spec) -> usize {
        if !self.shared.allowed.load(Ordering::Relaxed) {
            return 0;
        }
        let _replace = self.shared.clone().called(function, spec);
        self.shared.fill(function);
        let until = Instant::now() + READY_WAIT;
        loop {
            tokio::time::sleep(WARM_LOOK).await;
            let ready = self.shared.policy.lock().ready(function);
            match ready {
                Some(0) if Instant::now() < until => {}
                ready => return ready.unwrap_or(0),
            }
        }
    }

    /// Ends all warm islands for good.
    pub fn close(&self) {
        let all = self.shared.policy.lock().close();
        drop(all);
    }
}

/// Why a new island did not serve its call.
struct NotServed {
    /// The program had read its arguments, so it may have called the function.
    begun: bool,
    error: StartError,
}

/// Makes other islands when it is dropped with the answer of a call, or after [`REPLACE_WAIT`].
struct Replace {
    _answered: oneshot::Sender<()>,
}

impl Shared {
    /// Counts a call. Ends the warm islands of the function that have another artifact or another
    /// setup.
    fn called(self: Arc<Self>, function: &Function, spec: &Spec) -> Replace {
        let now = Instant::now();
        let former = {
            let mut policy = self.policy.lock();
            match policy.groups.entry(function.name.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Group::new(function, spec, now)).rate.called(now);
                    None
                }
                Entry::Occupied(mut group) => {
                    let former = (!group.get().is_for(function, spec))
                        .then(|| group.insert(Group::new(function, spec, now)));
                    group.get_mut().rate.called(now);
                    former
                }
            }
        };
        drop(former);
        self.wake.notify_one();
        let (answered, wait) = oneshot::channel();
        let function = function.clone();
        tokio::spawn(async move {
            let _ = timeout(REPLACE_WAIT, wait).await;
            self.fill(&function);
        });
        Replace { _answered: answered }
    }

    /// Takes the oldest warm island that has not exited.
    fn take(&self, function: &Function) -> Option<Running> {
        loop {
            let mut warm = self.policy.lock().take(function)?;
            if warm.running.is_alive() {
                return Some(warm.running);
            }
            if !warm.running.is_stopped() {
                self.served(function, false);
            }
        }
    }

    /// A warm island has taken its call up, or has exited before that.
    fn served(&self, function: &Function, begun: bool) {
        if begun {
            return self.policy.lock().served(function);
        }
        tracing::warn!(module = function.module(), "a warm island exited before its call");
        self.policy.lock().exited(function, Instant::now());
    }

    /// Makes islands until there are as many as there should be.
    fn fill(self: &Arc<Self>, function: &Function) {
        loop {
            let Some((spec, surplus)) = self.policy.lock().begin(function, Instant::now()) else {
                return;
            };
            drop(surplus);
            tokio::spawn(self.clone().make_within_slot(function.clone(), spec));
        }
    }

    /// Makes an island, and releases its starting slot when its program is ready or takes too long.
    async fn make_within_slot(self: Arc<Self>, function: Function, spec: Arc<Spec>) {
        let making = make(Arc::downgrade(&self), self.islands.clone(), function.clone(), spec);
        let mut making = pin!(making);
        let is_late = timeout(SLOT_TIME, &mut making).await.is_err();
        let next = self.policy.lock().release_slot(&function);
        for function in next {
            self.fill(&function);
        }
        // An island that is never ready must not keep the pool.
        drop(self);
        if is_late {
            making.await;
        }
    }
}

/// Makes an island, adds it to the pool, and waits until its program is ready or the island is
/// gone.
async fn make(pool: Weak<Shared>, islands: Islands, function: Function, spec: Arc<Spec>) {
    let began = Instant::now();
    let started = islands.start(&spec).await;
    let Some(shared) = pool.upgrade() else { return };
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            let why = common::causes::chain(&error);
            return shared.policy.lock().failed(&function, &why, Instant::now());
        }
    };
    let (channel, entry) = (running.channel(), running.entry());
    let refused = shared.policy.lock().add(&function, &spec, WarmIsland::new(running));
    drop((refused, shared));
    let Some(channel) = channel else { return };
    if channel.ready().await
        && let Some(shared) = pool.upgrade()
    {
        entry.upgrade().inspect(|entry| entry.set_warm());
        shared.policy.lock().started(&function, began.elapsed());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// Looks at the warm islands once in a while, until the pool is dropped. Sleeps while there is no
/// group.
async fn look_after(shared: Weak<Shared>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        let mut next = Some(LOOK);
        while let Some(pause) = next {
            tokio::time::sleep(pause).await;
            let Some(shared) = shared.upgrade() else { return };
            next = shared.look().await;
        }
    }
}

impl Shared {
    /// Ends the warm islands that have to go. Returns when to look again; none where there is no
    /// group left to look at.
    async fn look(&self) -> Option<Duration> {
        let backend = self.islands.backend();
        let free = backend.free_memory();
        let islands = self.policy.lock().ask_usage();
        let usage = match backend.capabilities().usage && !islands.is_empty() {
            true => backend.usage(&islands).await,
            false => HashMap::new(),
        };
        let mut policy = self.policy.lock();
        let now = Instant::now();
        let ended = policy.look(now, free, &usage);
        let next = if policy.is_quiet(now) { QUIET_LOOK } else { LOOK };
        let next = (!policy.groups.is_empty()).then_some(next);
        drop(policy);
        drop(ended);
        next
    }
}
