//! Warm jails: a call on one waits for no command of the host, and nothing is left of one however
//! it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use island::{Backend, Ending, Function, Outcome, PoolLimits, Spec, WarmPool};
use libtest_mimic::Trial;
use tokio::sync::Semaphore;

use crate::host::FAULTS;
use crate::lab::{Bench, Lab, limits, runtime};
use crate::trials;

/// How long a command takes on a host that is slow.
const SLOW: Duration = Duration::from_millis(400);
/// How long a host may take until it is idle.
const REST: Duration = Duration::from_secs(20);
/// More commands than it takes to remove one jail and to make another.
const MOST: usize = 40;

pub fn trials() -> Vec<Trial> {
    trials![
        a_call_on_a_warm_jail_waits_for_no_command,
        a_warm_jail_that_ended_is_removed_and_its_call_served_by_another,
        any_command_for_a_warm_jail_may_go_wrong,
        warm_islands_count_with_the_memory_that_they_use,
    ]
}

struct WarmLab {
    warm_pool: WarmPool,
    turns: Arc<Semaphore>,
    function: Function,
    spec: Spec,
}

impl WarmLab {
    /// Functions whose warm islands share so many bytes of memory.
    fn sharing(lab: &Lab, bench: &Bench, memory: u64) -> Self {
        let idle = Duration::from_secs(60);
        let limits = PoolLimits { per_function: 1, total: 4, memory, idle };
        Self { warm_pool: WarmPool::new(bench.islands.clone(), limits), ..Self::new(lab, bench) }
    }

    fn with_function(&self, name: &str) -> Self {
        let function = Function { name: name.into(), artifact: name.into() };
        let (warm_pool, turns) = (self.warm_pool.clone(), self.turns.clone());
        Self { warm_pool, turns, function, spec: self.spec.clone() }
    }

    fn new(lab: &Lab, bench: &Bench) -> Self {
        let idle = Duration::from_secs(60);
        let limits = PoolLimits { per_function: 1, total: 4, memory: 1 << 30, idle };
        let mut spec = lab.function(&["line"]);
        spec.arguments = Some(b"said".to_vec());
        let warm_pool = WarmPool::new(bench.islands.clone(), limits);
        let function = Function { name: "line".into(), artifact: "line".into() };
        Self { warm_pool, turns: Arc::new(Semaphore::new(16)), function, spec }
    }

    async fn call(&self) -> Outcome {
        let turn = self.turns.clone().acquire_owned().await.unwrap();
        let outcome = self.warm_pool.call(Some(&self.function), &self.spec, turn).await.unwrap();
        assert_eq!((outcome.ending, &*outcome.stdout), (Ending::Exited(0), &b"said"[..]));
        outcome
    }

    async fn ready(&self) {
        let until = Instant::now() + REST;
        while self.warm_pool.ready(&self.function) == 0 {
            assert!(Instant::now() < until, "no warm island is ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Waits until the host has run no command for a while.
async fn quiet(lab: &Lab) {
    let (mut count, mut since) = (lab.host.count(), Instant::now());
    let until = since + REST;
    while since.elapsed() < Duration::from_millis(150) {
        assert!(Instant::now() < until, "the host has more and more to do");
        tokio::time::sleep(Duration::from_millis(5)).await;
        if lab.host.count() != count {
            (count, since) = (lab.host.count(), Instant::now());
        }
    }
}

fn a_call_on_a_warm_jail_waits_for_no_command() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let warm_lab = WarmLab::new(&lab, &bench);
        warm_lab.call().await;
        for _ in 0..3 {
            warm_lab.ready().await;
            quiet(&lab).await;
            lab.host.slow(SLOW);
            let began = Instant::now();
            warm_lab.call().await;
            assert!(began.elapsed() < SLOW / 2, "{:?}", began.elapsed());
            lab.host.slow(Duration::ZERO);
        }
        warm_lab.warm_pool.close();
        lab.at_rest(&bench, "calls on warm jails").await;
    });
}

fn a_warm_jail_that_ended_is_removed_and_its_call_served_by_another() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let warm_lab = WarmLab::new(&lab, &bench);
        warm_lab.call().await;
        for _ in 0..3 {
            warm_lab.ready().await;
            quiet(&lab).await;
            let killed = bench.backend.list();
            // Wait for the exits: an island that is killed while it takes its call counts as
            // called.
            let until = Instant::now() + REST;
            while bench.backend.list().iter().any(|id| killed.contains(id)) {
                // Again and again, because the jail of one may just be made.
                for id in &killed {
                    lab.jail_model.remove(&id.to_string());
                }
                let left = || (bench.backend.list(), lab.picture());
                assert!(Instant::now() < until, "{killed:?} does not end: {:#?}", left());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            warm_lab.call().await;
        }
        warm_lab.warm_pool.close();
        lab.at_rest(&bench, "warm jails that ended").await;
    });
}

fn any_command_for_a_warm_jail_may_go_wrong() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for fault in FAULTS {
            for number in 0..MOST {
                let warm_lab = WarmLab::new(&lab, &bench);
                warm_lab.call().await;
                let first = lab.host.count();
                lab.host.fault(number, fault);
                quiet(&lab).await;
                lab.host.forget_faults();
                warm_lab.call().await;
                warm_lab.warm_pool.close();
                lab.at_rest(&bench, &format!("{fault:?} at {number} behind a call")).await;
                if lab.host.count() - first < number {
                    break;
                }
            }
        }
    });
}

fn warm_islands_count_with_the_memory_that_they_use() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        // Less than the limits of two islands allow, more than three use.
        let warm_lab = WarmLab::sharing(&lab, &bench, limits().resources.memory * 3 / 2);
        for name in ["a", "b", "c"] {
            let function = warm_lab.with_function(name);
            function.call().await;
            function.ready().await;
        }
        let until = Instant::now() + REST;
        lab.host.system(|system| system.counted.clear());
        // The pool compares them with its bound each time that it has looked at all.
        while lab.host.system(|it| it.counted.values().filter(|times| **times > 2).count()) < 3 {
            assert_eq!(warm_lab.warm_pool.count(), 3);
            assert!(Instant::now() < until, "the pool does not look at its islands");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lab.host.system(|system| system.memory = limits().resources.memory * 2 / 3);
        while warm_lab.warm_pool.count() > 2 {
            assert!(Instant::now() < until, "three islands use more than the bound");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        warm_lab.warm_pool.close();
        lab.at_rest(&bench, "warm islands that share memory").await;
    });
}
