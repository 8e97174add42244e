//! Islands that stand by: started ahead for a function that was called before, with its program already waiting to be
//! called. Each serves one call.
//!
//! What must always hold: an island serves one call or none, and is ended after it; one that has ended meanwhile is not
//! called, and the call goes to another; there are never more than the limits say; a call that finds none has one made.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::backend::StartError;
use crate::pool::policy::{Group, PoolPolicy, WarmIsland};
use crate::run::instance::Running;
use crate::run::islands::{Ending, Islands, Outcome};
use crate::spec::Spec;

/// How many islands that have ended meanwhile a call tries before it has one made.
const ATTEMPTS: usize = 3;
/// Others are made when a call has its answer, or after this.
const REPLACE_WAIT: Duration = Duration::from_millis(2);
/// How many islands a processor may end behind their answers without keeping the turns of their calls.
const ENDING: usize = 4;
/// How often those that stand by are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often islands are looked at that somebody waits for.
const WARM_LOOK: Duration = Duration::from_millis(10);
/// How long a program may take to get ready before others are made.
const READY_WAIT: Duration = Duration::from_secs(10);

/// How many islands may stand by.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Of one function.
    pub per_function: usize,
    /// Of all functions; 0 for none at all.
    pub total: usize,
    /// Bytes of memory that all together may hold.
    pub memory: u64,
    /// How long one stands by for a function that nobody calls.
    pub idle: Duration,
}

/// What stands by for which calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The same for a function whatever its revision: when another artifact comes under this name, what stands by for the
    /// former one is ended.
    pub name: String,
    /// Its artifact.
    pub artifact: String,
}

impl Function {
    /// What the log calls it, which has no bodies of requests: the first line of its name.
    fn module(&self) -> &str {
        self.name.lines().next().unwrap_or_default()
    }
}

/// The islands that stand by; see the module.
#[derive(Clone)]
pub struct WarmPool {
    shared: Arc<Shared>,
}

struct Shared {
    islands: Islands,
    /// Whether any may stand by.
    allowed: AtomicBool,
    policy: Mutex<PoolPolicy>,
    /// There is something to look after.
    wake: Arc<Notify>,
    /// Turns of islands that end behind their answers without keeping the turns of their calls.
    ending: Arc<Semaphore>,
}

impl WarmPool {
    /// Islands of functions, of which these may stand by.
    pub fn new(islands: Islands, limits: PoolLimits) -> Self {
        let (policy, wake) = (Mutex::new(PoolPolicy::new(limits)), Arc::new(Notify::new()));
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let ending = Arc::new(Semaphore::new(ENDING * cores));
        let allowed = AtomicBool::new(limits.total > 0);
        let shared = Arc::new(Shared { islands, allowed, policy, wake, ending });
        tokio::spawn(look_after(Arc::downgrade(&shared), shared.wake.clone()));
        Self { shared }
    }

    /// Has other limits from now on. Those that are too many then are ended when they are looked at next.
    pub fn set_limits(&self, limits: PoolLimits) {
        self.shared.allowed.store(limits.total > 0, Ordering::Relaxed);
        self.shared.policy.lock().set_limits(limits);
        self.shared.wake.notify_one();
    }

    /// The islands that they are some of.
    pub fn islands(&self) -> &Islands {
        &self.shared.islands
    }

    /// How many stand by, those that are being made included.
    pub fn count(&self) -> usize {
        self.shared.policy.lock().count()
    }

    /// How many stand by for a function.
    pub fn ready(&self, function: &Function) -> usize {
        self.shared.policy.lock().waiting(function)
    }

    /// Calls a function once, on an island that stands by for it or on a new one. Its turn is over with the answer, unless
    /// too many islands are still ending then: it is kept until this one has ended. Dropping the future ends the island.
    pub async fn call(
        &self,
        function: Option<&Function>,
        spec: &Spec,
        turn: OwnedSemaphorePermit,
    ) -> Result<Outcome, StartError> {
        let began = Instant::now();
        let function = function.filter(|_| self.shared.allowed.load(Ordering::Relaxed));
        let _replace = function.map(|function| self.shared.clone().called(function, spec));
        for _ in 0..ATTEMPTS {
            let Some(mut running) = function.and_then(|it| self.shared.take(it)) else { break };
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
        let mut running = self.shared.islands.start(spec).await?;
        let started = Instant::now();
        let served = running.serve(spec).await;
        Ok(self.finish(running, served.ending?, [began, started], turn))
    }

    /// The answer; what is left to do for the island is done behind it.
    fn finish(
        &self,
        mut running: Running,
        ending: Ending,
        [began, started]: [Instant; 2],
        turn: OwnedSemaphorePermit,
    ) -> Outcome {
        let outcome = running.outcome(ending, started - began, started.elapsed());
        let turn = self.shared.ending.clone().try_acquire_owned().unwrap_or(turn);
        tokio::spawn(async move {
            if let Err(error) = running.end().await {
                let error = common::causes::chain(&error);
                tracing::warn!(%error, "an island that has answered does not end");
            }
            drop(turn);
        });
        outcome
    }

    /// Has islands stand by for a function as if it had been called, and waits until one is ready; how many are.
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

    /// Ends all, and lets none stand by any more.
    pub fn close(&self) {
        let all = self.shared.policy.lock().close();
        drop(all);
    }
}

/// Has others made when it is dropped, with a call's answer, unless that takes too long.
struct Replace {
    _answered: oneshot::Sender<()>,
}

impl Shared {
    /// Counts a call, and gives up what stands by for an artifact that the function had before, or
    /// with limits that functions had before.
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

    /// The oldest that still lives.
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

    fn served(&self, function: &Function, begun: bool) {
        if !begun {
            tracing::warn!(module = function.module(), "an island ended while it stood by");
        }
        self.policy.lock().called(function, begun, Instant::now());
    }

    /// Has islands made until as many stand by as should.
    fn fill(self: &Arc<Self>, function: &Function) {
        loop {
            let Some((spec, surplus)) = self.policy.lock().begin(function, Instant::now()) else {
                return;
            };
            drop(surplus);
            tokio::spawn(self.clone().make(function.clone(), spec));
        }
    }

    async fn make(self: Arc<Self>, function: Function, spec: Arc<Spec>) {
        let began = Instant::now();
        let mut ready = None;
        match self.islands.start(&spec).await {
            Ok(running) => {
                let (channel, entry) = (running.channel(), running.entry());
                let refused = self.policy.lock().add(&function, &spec, WarmIsland::new(running));
                drop(refused);
                if let Some(channel) = channel
                    && timeout(READY_WAIT, channel.ready()).await.unwrap_or(false)
                {
                    entry.upgrade().inspect(|entry| entry.set_warm());
                    ready = Some(began.elapsed());
                }
            }
            Err(error) => {
                let error = common::causes::chain(&error);
                tracing::warn!(module = function.module(), %error, "no island could be made to stand by");
                self.policy.lock().give_up(&function, Instant::now());
            }
        }
        let next = self.policy.lock().made(&function, ready);
        for function in next {
            self.fill(&function);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// Looks at what stands by, once in a while, until nobody has it any more. With nothing to look at it sleeps.
async fn look_after(shared: Weak<Shared>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(shared) = shared.upgrade() else { return };
            let free = shared.islands.backend().free_memory();
            let (ended, nothing_left) = {
                let mut policy = shared.policy.lock();
                (policy.look(Instant::now(), free), policy.groups.is_empty())
            };
            drop(ended);
            if nothing_left {
                break;
            }
        }
    }
}
