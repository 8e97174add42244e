//! Jails that stand by: a call on one waits for no command of the host, and whatever becomes of them, nothing is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use island::{Backend, Ending, Function, Outcome, PoolLimits, Spec, WarmPool};
use libtest_mimic::Trial;
use tokio::sync::Semaphore;

use crate::host::FAULTS;
use crate::lab::{Bench, Lab, runtime};
use crate::trials;

/// How long a command takes on a host that is slow.
const PACE: Duration = Duration::from_millis(400);
/// How long a host may take until it does nothing any more.
const REST: Duration = Duration::from_secs(20);
/// More commands than it takes to give one jail back and to make another.
const MOST: usize = 40;

pub fn trials() -> Vec<Trial> {
    trials![
        a_call_on_a_jail_that_stands_by_waits_for_no_command,
        a_jail_that_ended_while_it_stood_by_is_given_back_and_its_call_served,
        any_command_for_a_jail_that_is_to_stand_by_may_go_wrong,
    ]
}

struct Yard {
    warm_pool: WarmPool,
    turns: Arc<Semaphore>,
    function: Function,
    spec: Spec,
}

impl Yard {
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

    async fn stands_by(&self) {
        let until = Instant::now() + REST;
        while self.warm_pool.ready(&self.function) == 0 {
            assert!(Instant::now() < until, "none stands by");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Waits until the host has had nothing to do for a while.
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

fn a_call_on_a_jail_that_stands_by_waits_for_no_command() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let yard = Yard::new(&lab, &bench);
        yard.call().await;
        for _ in 0..3 {
            yard.stands_by().await;
            quiet(&lab).await;
            lab.host.slow(PACE);
            let began = Instant::now();
            yard.call().await;
            assert!(began.elapsed() < PACE / 2, "{:?}", began.elapsed());
            lab.host.slow(Duration::ZERO);
        }
        yard.warm_pool.close();
        lab.at_rest(&bench, "calls on jails that stood by").await;
    });
}

fn a_jail_that_ended_while_it_stood_by_is_given_back_and_its_call_served() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let yard = Yard::new(&lab, &bench);
        yard.call().await;
        for _ in 0..3 {
            yard.stands_by().await;
            quiet(&lab).await;
            let killed = bench.backend.list();
            for id in &killed {
                lab.prison.remove(&id.to_string());
            }
            // Not in the midst of it: what is killed while it takes its call up has begun.
            let until = Instant::now() + REST;
            while bench.backend.list().iter().any(|id| killed.contains(id)) {
                assert!(Instant::now() < until, "the end of {killed:?} is not heard of");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            yard.call().await;
        }
        yard.warm_pool.close();
        lab.at_rest(&bench, "jails that ended while they stood by").await;
    });
}

fn any_command_for_a_jail_that_is_to_stand_by_may_go_wrong() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for fault in FAULTS {
            for number in 0..MOST {
                let yard = Yard::new(&lab, &bench);
                yard.call().await;
                let first = lab.host.count();
                lab.host.fault(number, fault);
                quiet(&lab).await;
                lab.host.forget_faults();
                yard.call().await;
                yard.warm_pool.close();
                lab.at_rest(&bench, &format!("{fault:?} at {number} behind a call")).await;
                if lab.host.count() - first < number {
                    break;
                }
            }
        }
    });
}
