//! The server crashes at any step of an island's life, and the next start removes what is left.

use std::time::Duration;

use host::net::AddressState;
use island::freebsd::sweep_on;
use island::{Backend, Spec};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Runtime;

use crate::host::Fault;
use crate::jail_model::{CallFault, runs};
use crate::lab::{Bench, Lab, bind, runtime};
use crate::launcher::CONNECTS;
use crate::trials;

/// How many commands of a start only look.
const LOOKS: usize = 10;
/// More commands than any island takes.
const MOST: usize = 60;

pub fn trials() -> Vec<Trial> {
    trials![
        a_start_removes_what_a_crash_left_of_a_function_at_any_command,
        a_start_removes_what_a_crash_left_of_a_tool_at_any_command,
        a_start_removes_what_a_crash_left_of_a_function_at_any_system_call,
        a_start_removes_islands_that_ran_and_loses_no_address,
        an_address_of_a_dying_jail_is_not_leased_by_the_next_start,
        a_sweep_removes_islands_that_ran_and_lists_them,
        a_start_that_may_not_sweep_touches_nothing,
        a_start_that_crashed_while_it_swept_is_swept_itself,
    ]
}

/// The processes that a crash ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    /// The server; the launcher ends its islands by itself.
    Server,
    /// The launcher as well; its islands go on.
    Both,
}

/// Makes calls on a backend, and then crashes its server.
fn crashes(lab: &Lab, crash: Crash, calls: impl AsyncFnOnce(&Bench)) {
    let server = runtime();
    server.block_on(async { calls(&lab.start().await).await });
    end(lab, server, crash);
}

/// Ends a server at once.
fn end(lab: &Lab, server: Runtime, crash: Crash) {
    if crash == Crash::Both {
        kill(Pid::from_raw(lab.jail_model.launcher()), Signal::SIGKILL).unwrap();
    }
    lab.host.let_late_work_be_done(false);
    server.shutdown_timeout(Duration::from_secs(5));
    lab.host.let_late_work_be_done(true);
    lab.host.forget_faults();
}

/// A start after a crash works and leaves nothing.
fn starts_again(lab: &Lab, what: &str) {
    runtime().block_on(async {
        let bench = lab.start().await;
        lab.at_rest(&bench, what).await;
        lab.next_works(&bench, what).await;
        no_address_is_lost(&bench, what);
        bench.backend.close().await;
    });
}

fn no_address_is_lost(bench: &Bench, what: &str) {
    let pools = bench.pools.list();
    let lost = pools.iter().filter(|it| it.state == AddressState::Foreign);
    let lost: Vec<_> = lost.map(|it| it.address.to_string()).collect();
    assert_eq!(lost, ["10.9.0.2", "10.9.0.3"], "{what}");
}

fn at_any_command(make: impl Fn(&Lab, &Bench, usize) -> Spec) {
    let lab = Lab::new();
    for fault in [Fault::Stops, Fault::StopsAfterwards] {
        for crash in [Crash::Server, Crash::Both] {
            let mut number = 0;
            loop {
                let what = format!("{fault:?} at {number}, {crash:?}");
                let mut ended = false;
                crashes(&lab, crash, async |bench| {
                    lab.host.fault(number, fault);
                    let spec = make(&lab, bench, number);
                    let call = async {
                        assert!(bench.run(&spec).await.is_ok());
                        bench.idle().await;
                    };
                    tokio::select! { () = lab.host.stopped() => {}, () = call => ended = true }
                });
                starts_again(&lab, &what);
                if ended {
                    assert!(number >= 5, "only {number} commands");
                    break;
                }
                number += 1;
                assert!(number < MOST, "more than {MOST} commands");
            }
        }
    }
}

fn a_start_removes_what_a_crash_left_of_a_function_at_any_command() {
    // Each function is a new one, so that its artifact is made.
    let next = std::cell::Cell::new(0);
    at_any_command(|lab, bench, _| {
        next.set(next.get() + 1);
        let mut spec = lab.new_function(next.get(), &["out=x"]);
        spec.setup.address = bench.lease();
        spec
    });
}

fn a_start_removes_what_a_crash_left_of_a_tool_at_any_command() {
    at_any_command(|lab, _, _| {
        let binds =
            vec![bind(lab.folder("src"), "/src", false), bind(lab.folder("out"), "/out", true)];
        lab.tool(binds, &["out=x"])
    });
}

/// The launcher ends at a system call, and the server before it has removed anything.
fn a_start_removes_what_a_crash_left_of_a_function_at_any_system_call() {
    let lab = Lab::new();
    starts_again(&lab, "the first start");
    for fault in [CallFault::EndBefore, CallFault::EndAfter] {
        for number in 0.. {
            let mut reached = true;
            let server = runtime();
            server.block_on(async {
                let bench = lab.start().await;
                lab.jail_model.set_call_fault(number, fault);
                // A known function takes no command until its launcher is gone.
                lab.host.fault(0, Fault::Stops);
                let spec = lab.function(&["out=x"]);
                let call = async {
                    let _ = bench.run(&spec).await;
                    bench.idle().await;
                };
                tokio::select! { () = lab.host.stopped() => {}, () = call => reached = false }
            });
            let left = lab.jail_model.forget_call_fault();
            assert_eq!(reached, left.is_none(), "{fault:?} at {number}");
            // The last call removes the folder, behind which nothing is left.
            if reached && fault == CallFault::EndBefore {
                let before = lab.picture();
                assert!(before.iter().any(|it| it.contains("jails/run/si_")), "{before:#?}");
            }
            end(&lab, server, Crash::Server);
            starts_again(&lab, &format!("{fault:?} at system call {number}"));
            if !reached {
                assert!(number > 10, "only {number} system calls");
                break;
            }
        }
    }
}

/// Islands of both kinds, with addresses, which run until they are ended.
fn some(lab: &Lab, bench: &Bench, count: usize) -> Vec<Spec> {
    let make = |number: usize| match number % 3 {
        0 => lab.tool(vec![bind(lab.folder(&number.to_string()), "/out", true)], &["sleep=30"]),
        one_or_two => {
            let actions = [&["sleep=30"][..], &[CONNECTS, "sleep=30"]][one_or_two - 1];
            let mut spec = lab.function(actions);
            spec.setup.address = bench.lease();
            spec
        }
    };
    (0..count).map(make).collect()
}

/// Starts these islands, and waits until they run.
async fn some_run(lab: &Lab, bench: &Bench, count: usize) {
    for spec in some(lab, bench, count) {
        let islands = bench.islands.clone();
        tokio::spawn(async move { islands.run(&spec).await });
    }
    while lab.jail_model.processes().len() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn a_start_removes_islands_that_ran_and_loses_no_address() {
    let lab = Lab::new();
    for crash in [Crash::Server, Crash::Both] {
        for turn in 0..3 {
            crashes(&lab, crash, async |bench| some_run(&lab, bench, 6).await);
            starts_again(&lab, &format!("{crash:?}, turn {turn}"));
        }
    }
}

fn an_address_of_a_dying_jail_is_not_leased_by_the_next_start() {
    let lab = Lab::new();
    crashes(&lab, Crash::Both, async |bench| some_run(&lab, bench, 6).await);
    runtime().block_on(async {
        let bench = lab.start().await;
        assert_eq!(
            lab.jail_model.processes(),
            [0; 0],
            "they would share their users with new islands"
        );
        // All free addresses are leased, again and again, while jails of the crash are there.
        let mut calls = Vec::new();
        for _ in 0..8 {
            let mut spec = lab.function(&["out=x"]);
            spec.setup.address = bench.lease();
            calls.push(bench.islands.run(&spec).await.map(|_| ()));
        }
        assert!(calls.iter().all(Result::is_ok), "{calls:?}");
        lab.at_rest(&bench, "calls while old jails are dying").await;
        no_address_is_lost(&bench, "calls while old jails are dying");
    });
}

fn a_sweep_removes_islands_that_ran_and_lists_them() {
    let lab = Lab::new();
    crashes(&lab, Crash::Both, async |bench| some_run(&lab, bench, 6).await);
    let left: Vec<String> = lab.jail_model.noted().into_iter().map(|(name, _)| name).collect();
    runtime().block_on(async {
        let mut swept = sweep_on(&lab.options(), lab.environment()).await.unwrap();
        lab.is_at_rest("a sweep");
        swept.gone.sort();
        let mut expected = left;
        expected.sort();
        assert_eq!(swept.gone, expected);
        assert!(swept.busy.is_empty(), "{swept:?}");
        swept.foreign.sort();
        assert_eq!(swept.foreign, ["zroot/jails/run/with space", "zroot/jails/run/www"]);
        assert!(!runs(lab.jail_model.launcher()));
    });
}

fn a_start_that_may_not_sweep_touches_nothing() {
    let lab = Lab::new();
    crashes(&lab, Crash::Both, async |bench| some_run(&lab, bench, 6).await);
    let before = lab.picture();
    runtime().block_on(async {
        let mut options = lab.options();
        options.jails.as_mut().unwrap().sweep = false;
        let bench = lab.try_start(options).await.unwrap();
        bench.backend.close().await;
    });
    assert_eq!(lab.picture(), before);
    starts_again(&lab, "a start that may sweep");
}

fn a_start_that_crashed_while_it_swept_is_swept_itself() {
    let lab = Lab::new();
    for number in LOOKS.. {
        crashes(&lab, Crash::Both, async |bench| some_run(&lab, bench, 3).await);
        let server = runtime();
        let stops = server.block_on(async {
            lab.host.fault(number, Fault::StopsAfterwards);
            let start = async { lab.start().await.idle().await };
            tokio::select! { () = lab.host.stopped() => true, () = start => false }
        });
        end(&lab, server, Crash::Server);
        starts_again(&lab, &format!("a sweep that stopped at {number}"));
        if !stops {
            assert!(number > LOOKS + 10, "only {number} commands");
            return;
        }
        assert!(number < 5 * MOST, "more than {} commands", 5 * MOST);
    }
}
