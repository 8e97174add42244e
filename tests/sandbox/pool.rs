//! Warm islands: each serves one call, none outlives its use, and one whose state has changed is
//! not called.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use island::{Ending, Function, KillReason, Kind, Observer, Outcome, PoolLimits, Spec, WarmPool};
use tokio::sync::Semaphore;

use super::host::{Host, alone, called, eventually, here, read, warm_limits};
use super::{platform, system};

/// A warm pool of one host, and a turn for each call.
struct Yard<'a> {
    host: &'a Host,
    warm_pool: WarmPool,
    turns: Arc<Semaphore>,
    made: Arc<Made>,
}

/// Counts the islands that were made.
#[derive(Default)]
struct Made(AtomicUsize);

impl Observer for Made {
    fn created(&self, _: Kind, _: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn killed(&self, _: KillReason) {}
    fn removed(&self, _: Kind, _: Option<Duration>) {}
    fn warm_lookup(&self, _: bool) {}
}

/// More than any test here has running at once.
const TURNS: usize = 64;

impl<'a> Yard<'a> {
    fn new(host: &'a Host, limits: PoolLimits) -> Self {
        let made = Arc::<Made>::default();
        let islands = host.islands.clone().observed(made.clone());
        let warm_pool = host.runtime.block_on(async { WarmPool::new(islands, limits) });
        Self { host, warm_pool, turns: Arc::new(Semaphore::new(TURNS)), made }
    }

    /// How many islands were made since the start.
    fn made(&self) -> usize {
        self.made.0.load(Ordering::Relaxed)
    }

    fn call(&self, function: &Function, spec: &Spec) -> Outcome {
        self.host.runtime.block_on(async {
            let turn = self.turns.clone().acquire_owned().await.unwrap();
            self.warm_pool.call(Some(function), spec, turn).await.unwrap()
        })
    }

    fn deed(&self, deed: &[&str]) -> (Function, Spec) {
        called(&self.host.function(deed))
    }

    fn is_warm(&self, function: &Function) {
        eventually("one is warm", || self.warm_pool.ready(function) > 0);
    }

    /// The processes that wait to be called; only in a test that runs nothing else.
    fn waiting(&self, count: usize) -> Vec<u32> {
        eventually("as many processes wait", || system::functions().len() == count);
        system::functions()
    }

    fn close(self) {
        self.warm_pool.close();
        eventually("nothing runs any more", || self.host.backend.list().is_empty());
        eventually("every turn has come back", || self.turns.available_permits() == TURNS);
    }
}

macro_rules! alone {
    ($(#[$meta:meta])* fn $name:ident($host:ident: &Host) $body:block) => {
        #[test]
        $(#[$meta])*
        fn $name() {
            alone(concat!(module_path!(), "::", stringify!($name)), 0, |$host: &Host| $body);
        }
    };
}

alone!(
    fn a_warm_island_serves_one_call_and_shows_nothing_to_the_next(host: &Host) {
        let yard = Yard::new(host, warm_limits());
        let (function, list) = yard.deed(&["list", "/tmp"]);
        let (_, write) = yard.deed(&["write", "/tmp/left"]);
        yard.call(&function, &list);
        for _ in 0..8 {
            yard.is_warm(&function);
            let found: BTreeMap<String, Vec<String>> = read(&yard.call(&function, &list));
            assert!(found["/tmp"].is_empty(), "{found:?}");
            yard.is_warm(&function);
            let made: BTreeMap<String, String> = read(&yard.call(&function, &write));
            assert_eq!(made["/tmp/left"], "done");
        }
        yard.close();
    }
);

alone!(
    fn a_warm_island_serves_a_call_within_that_calls_own_bounds(host: &Host) {
        let warm_pool = Yard::new(host, PoolLimits { per_function: 1, ..warm_limits() });
        let (function, spec) = warm_pool.deed(&["exit", "0"]);
        warm_pool.call(&function, &spec);
        let (_, mut sleep) = warm_pool.deed(&["sleep", "60000"]);
        sleep.bounds.deadline = Duration::from_millis(300);
        let (_, mut flood) = warm_pool.deed(&["flood", "stdout"]);
        flood.bounds.output = 70_000;
        for (spec, ending) in [(sleep, Ending::Deadline), (flood, Ending::Output)] {
            warm_pool.is_warm(&function);
            let outcome = warm_pool.call(&function, &spec);
            assert!(outcome.warm, "{ending:?}");
            assert_eq!(outcome.ending, ending);
            assert!(outcome.stdout.len() <= 70_000, "{}", outcome.stdout.len());
        }
        warm_pool.close();
    }
);

alone!(
    fn what_a_package_does_at_its_start_it_does_once_a_call(host: &Host) {
        let yard = Yard::new(host, warm_limits());
        let (function, spec) = yard.deed(&["starts"]);
        for _ in 0..6 {
            let starts: u32 = read(&yard.call(&function, &spec));
            assert_eq!(starts, 1);
            yard.is_warm(&function);
        }
        yard.close();
    }
);

alone!(
    fn one_that_ended_meanwhile_is_not_called(host: &Host) {
        let yard = Yard::new(host, PoolLimits { per_function: 1, ..warm_limits() });
        let (function, spec) = yard.deed(&["exit", "7"]);
        yard.call(&function, &spec);
        yard.is_warm(&function);
        for process in yard.waiting(1) {
            system::kill(process);
            eventually("it has ended", || !system::is_alive(process));
        }
        assert_eq!(yard.call(&function, &spec).ending, Ending::Exited(7));
        yard.is_warm(&function);
        yard.close();
    }
);

alone!(
    fn what_ends_at_its_start_is_not_made_again_and_again(host: &Host) {
        // Of more, as many are made as calls come while one starts: not equally many everywhere.
        let yard = Yard::new(host, PoolLimits { per_function: 1, ..warm_limits() });
        let (function, mut spec) = yard.deed(&["exit", "7"]);
        spec.env.push("HOSTILE_EXITS=1".into());
        const CALLS: usize = 6;
        for _ in 0..CALLS {
            assert_eq!(yard.call(&function, &spec).ending, Ending::Exited(9));
            // The time in which another one would be made.
            std::thread::sleep(here(Duration::from_millis(100)));
        }
        eventually("none is warm", || yard.warm_pool.count() == 0);
        // One for each call, and the three that ended before the function rests.
        const EARLY_EXITS: usize = 3;
        assert!(yard.made() <= CALLS + EARLY_EXITS, "{} islands were made", yard.made());
        let made = yard.made();
        assert_eq!(yard.call(&function, &spec).ending, Ending::Exited(9));
        // A warm island of another function, asked for later, would come after one of this
        // function.
        let mut other = host.function(&["exit", "3"]);
        other.setup.resources.processes += 1;
        let (other, other_spec) = called(&other);
        assert_eq!(yard.call(&other, &other_spec).ending, Ending::Exited(3));
        yard.is_warm(&other);
        assert_eq!(yard.made() - made, 3, "one for each call, and a warm one of the other");
        yard.close();
    }
);

alone!(
    fn an_answer_does_not_wait_for_what_runs_on_and_that_is_ended(host: &Host) {
        let yard = Yard::new(host, warm_limits());
        let (function, spec) = yard.deed(&["say-done-and-go-on"]);
        for _ in 0..3 {
            let outcome = yard.call(&function, &spec);
            assert_eq!((outcome.ending, &outcome.stdout[..]), (Ending::Exited(0), &b"said"[..]));
            assert!(outcome.run < here(platform::DEADLINE) / 2, "{:?}", outcome.run);
        }
        eventually("every turn has come back", || yard.turns.available_permits() == TURNS);
        yard.close();
    }
);

alone!(
    fn another_artifact_of_the_same_function_ends_those_of_the_former_one(host: &Host) {
        let yard = Yard::new(host, warm_limits());
        let (function, spec) = yard.deed(&["exit", "0"]);
        yard.call(&function, &spec);
        yard.is_warm(&function);
        let newer = Function { artifact: "newer".into(), ..function.clone() };
        yard.call(&newer, &spec);
        assert_eq!(yard.warm_pool.ready(&function), 0);
        yard.is_warm(&newer);
        yard.close();
    }
);

alone!(
    fn there_are_never_more_than_the_limits_say(host: &Host) {
        let limits = PoolLimits { per_function: 2, total: 3, ..warm_limits() };
        let yard = Yard::new(host, limits);
        let mut functions = Vec::new();
        for number in 0..4 {
            let (mut function, spec) = yard.deed(&["exit", "0"]);
            function.name = format!("function {number}");
            for _ in 0..20 {
                yard.call(&function, &spec);
                assert!(yard.warm_pool.count() <= 3, "{}", yard.warm_pool.count());
                assert!(yard.warm_pool.ready(&function) <= 2);
            }
            yard.is_warm(&function);
            functions.push(function);
        }
        // The last one called has one, and the one that was not called for the longest time has
        // none.
        assert!(yard.warm_pool.ready(&functions[3]) > 0);
        assert_eq!(yard.warm_pool.ready(&functions[0]), 0);
        yard.close();
    }
);

alone!(
    fn islands_that_are_not_called_end_after_a_while(host: &Host) {
        let limits = PoolLimits { idle: Duration::from_millis(300), ..warm_limits() };
        let yard = Yard::new(host, limits);
        let (function, spec) = yard.deed(&["exit", "0"]);
        yard.call(&function, &spec);
        yard.is_warm(&function);
        eventually("none is warm any more", || {
            yard.warm_pool.count() == 0 && host.backend.list().is_empty()
        });
        assert_eq!(yard.call(&function, &spec).ending, Ending::Exited(0));
        yard.close();
    }
);

alone!(
    fn islands_that_hold_too_much_memory_are_ended(host: &Host) {
        let yard = Yard::new(host, PoolLimits { memory: 4096, ..warm_limits() });
        let (function, spec) = yard.deed(&["exit", "0"]);
        yard.call(&function, &spec);
        yard.is_warm(&function);
        eventually("none is warm any more", || yard.warm_pool.count() == 0);
        yard.close();
    }
);

alone!(
    fn one_that_works_while_it_waits_is_given_up(host: &Host) {
        is_given_up(host, "HOSTILE_SPINS=1");
    }
);

#[cfg(not(target_os = "freebsd"))]
alone!(
    fn one_whose_children_work_while_it_waits_is_given_up(host: &Host) {
        is_given_up(host, "HOSTILE_SPINS_IN_CHILDREN=1");
    }
);

fn is_given_up(host: &Host, setting: &str) {
    if let Some(why) = platform::USAGE_UNKNOWN {
        return super::host::not_given("a warm island stands still", why);
    }
    let yard = Yard::new(host, warm_limits());
    let (function, mut spec) = yard.deed(&["exit", "0"]);
    spec.env.push(setting.into());
    yard.call(&function, &spec);
    yard.is_warm(&function);
    eventually("none is warm any more", || yard.warm_pool.count() == 0);
    assert_eq!(yard.call(&function, &spec).ending, Ending::Exited(0));
    assert_eq!(yard.warm_pool.count(), 0, "it would only work again");
    yard.close();
}

#[cfg(not(target_os = "freebsd"))]
alone!(
    fn memory_that_processes_of_a_warm_island_share_counts_as_the_islands(host: &Host) {
        if let Some(why) = host.lacks("memory limit") {
            return super::host::not_given("memory that the processes of an island share", why);
        }
        let yard = Yard::new(host, PoolLimits { memory: 512 << 20, ..warm_limits() });
        let (function, mut spec) = yard.deed(&["exit", "0"]);
        spec.setup.resources.memory = 1 << 30;
        spec.env.push("HOSTILE_SHARES_MEMORY=1".into());
        yard.call(&function, &spec);
        yard.is_warm(&function);
        eventually("none is warm any more", || yard.warm_pool.count() == 0);
        yard.close();
    }
);
