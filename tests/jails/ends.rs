//! Every way in which an island, the launcher or the backend can end: nothing of it is left.

use std::sync::Arc;
use std::time::Duration;

use host::net::Family;
use island::{Backend, Ending, Spec, Stdio};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::jail_model::{LauncherFault, runs};
use crate::lab::{Bench, Lab, bind, runtime};
use crate::launcher::{CONNECTS, HALF_CLOSES, REFUSES};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        nothing_is_left_of_a_function_however_it_ends,
        nothing_is_left_of_a_tool_however_it_ends,
        a_connection_that_the_peer_never_closes_holds_no_address,
        nothing_is_left_when_the_launcher_refuses_or_ends_at_any_time,
        a_launcher_that_stops_before_it_makes_a_jail_holds_up_no_teardown,
        a_launcher_that_stops_after_it_made_a_jail_holds_up_no_teardown,
        a_launcher_that_was_killed_between_calls_is_started_again,
        close_ends_the_islands_that_run_and_removes_everything,
        close_removes_islands_that_are_being_made,
        close_waits_for_callers_that_have_not_read_an_exit,
        a_closed_backend_makes_no_island,
        a_backend_that_is_dropped_without_a_close_removes_ended_islands,
    ]
}

/// Runs a spec to the expected ending, and checks that nothing is left.
async fn ends(lab: &Lab, bench: &Bench, mut spec: Spec, expected: Option<Ending>, what: &str) {
    if matches!(spec.setup.rights, island::Rights::Function) {
        spec.setup.address = bench.lease();
    }
    let ending = bench.run(&spec).await.map(|outcome| outcome.ending);
    assert_eq!(ending.as_ref().ok(), expected.as_ref(), "{what}: {ending:?}");
    drop(spec);
    lab.at_rest(bench, what).await;
    lab.next_works(bench, what).await;
}

const WAYS: [(&[&str], Option<Ending>); 9] = [
    (&["out=x"], Some(Ending::Exited(0))),
    (&["err=panic: boom", "exit=2"], Some(Ending::Exited(2))),
    (&["signal=6"], Some(Ending::Signaled(6))),
    (&["signal=9"], Some(Ending::Signaled(9))),
    (&["sleep=30"], Some(Ending::Deadline)),
    (&["spam"], Some(Ending::Output)),
    (&[REFUSES], None),
    (&[CONNECTS, "out=x"], Some(Ending::Exited(0))),
    (&[CONNECTS, "sleep=30"], Some(Ending::Deadline)),
];

fn nothing_is_left_of_a_function_however_it_ends() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for (actions, expected) in WAYS {
            let mut spec = lab.function(actions);
            shorten(&mut spec);
            ends(&lab, &bench, spec, expected, &format!("{actions:?}")).await;
        }
    });
}

fn nothing_is_left_of_a_tool_however_it_ends() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let binds =
            || vec![bind(lab.folder("src"), "/src", false), bind(lab.folder("out"), "/out", true)];
        for (actions, expected) in WAYS {
            let mut spec = lab.tool(binds(), actions);
            shorten(&mut spec);
            ends(&lab, &bench, spec, expected, &format!("{actions:?}")).await;
        }
        let missing = lab.tool(vec![bind(lab.path("none"), "/none", false)], &["out=x"]);
        ends(&lab, &bench, missing, None, "a folder that is not there").await;
    });
}

fn a_connection_that_the_peer_never_closes_holds_no_address() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for family in [Family::V4, Family::V6] {
            let mut spec = lab.function(&[HALF_CLOSES, "out=x"]);
            spec.setup.address = bench.lease_of(family);
            let first = lab.host.count();
            assert_eq!(bench.run(&spec).await.unwrap().ending, Ending::Exited(0));
            drop(spec);
            lab.at_rest(&bench, "a half-closed connection").await;
            let dropped = |command: &&String| command.ends_with(" 40000 192.0.2.1 7");
            assert_eq!(lab.log_since(first).iter().filter(dropped).count(), 1, "{family:?}");
        }
        let first = lab.host.count();
        ends(&lab, &bench, lab.function(&["out=x"]), Some(Ending::Exited(0)), "no connection")
            .await;
        let asked = lab.log_since(first).into_iter().filter(|it| it.starts_with("tcpdrop"));
        assert_eq!(asked.collect::<Vec<_>>(), Vec::<String>::new(), "most jails have none");
    });
}

fn shorten(spec: &mut Spec) {
    if spec.args.iter().any(|action| action.starts_with("sleep")) {
        spec.bounds.deadline = Duration::from_millis(100);
    }
}

fn nothing_is_left_when_the_launcher_refuses_or_ends_at_any_time() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for fault in [
            LauncherFault::Refuse,
            LauncherFault::EndBefore,
            LauncherFault::EndAfter,
            LauncherFault::EndWhile,
        ] {
            for actions in [&["sleep=30"][..], &[CONNECTS, "sleep=30"], &["out=x"]] {
                lab.jail_model.set_launcher_fault(fault);
                let mut spec = lab.function(actions);
                shorten(&mut spec);
                ends(&lab, &bench, spec, None, &format!("{fault:?} {actions:?}")).await;
            }
        }
    });
}

/// Drops the wait for an island whose launcher is stopped, and continues the launcher after the
/// teardown.
fn stops(fault: LauncherFault) {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        lab.jail_model.set_launcher_fault(fault);
        let spec = lab.function(&["sleep=30"]);
        let run = tokio::time::timeout(Duration::from_millis(200), bench.islands.run(&spec));
        assert!(run.await.is_err());
        lab.host_at_rest("while the launcher is stopped").await;
        kill(Pid::from_raw(lab.jail_model.launcher()), Signal::SIGCONT).unwrap();
        lab.at_rest(&bench, "the launcher has gone on").await;
        lab.next_works(&bench, "the launcher has gone on").await;
    });
}

fn a_launcher_that_stops_before_it_makes_a_jail_holds_up_no_teardown() {
    stops(LauncherFault::StopBefore);
}

fn a_launcher_that_stops_after_it_made_a_jail_holds_up_no_teardown() {
    stops(LauncherFault::StopAfter);
}

fn a_launcher_that_was_killed_between_calls_is_started_again() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let first = lab.jail_model.launcher();
        kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
        // The next call may find the launcher gone or not. Nothing may be left in both cases.
        let _ = bench.run(&lab.function(&["out=x"])).await;
        lab.at_rest(&bench, "the call after the launcher's end").await;
        lab.next_works(&bench, "the launcher's end").await;
        assert_ne!(lab.jail_model.launcher(), first);
    });
}

fn close_ends_the_islands_that_run_and_removes_everything() {
    // With one thread, no caller learns of an exit before close waits for that.
    let alone = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    alone.block_on(async {
        let lab = Lab::new();
        let bench = Arc::new(lab.start().await);
        let mut calls = Vec::new();
        for number in 0..6 {
            let mut spec = match number % 3 {
                0 => lab.function(&["sleep=30"]),
                1 => lab.function(&[CONNECTS, "sleep=30"]),
                _ => lab
                    .tool(vec![bind(lab.folder(&number.to_string()), "/out", true)], &["sleep=30"]),
            };
            spec.setup.address = if number % 3 == 2 { None } else { bench.lease() };
            let bench = bench.clone();
            calls.push(tokio::spawn(async move { bench.run(&spec).await.map(|_| ()) }));
        }
        while lab.jail_model.processes().len() < 6 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.backend.close().await;
        // At this moment and not later, because the process is about to end.
        lab.is_at_rest("close has returned");
        assert!(!runs(lab.jail_model.launcher()));
        for call in calls {
            let _ = call.await.unwrap();
        }
        lab.at_rest(&bench, "close").await;
    });
}

fn close_removes_islands_that_are_being_made() {
    let function = |lab: &Lab, bench: &Bench| {
        let mut spec = lab.function(&["sleep=30"]);
        spec.setup.address = bench.lease();
        spec
    };
    let tool =
        |lab: &Lab, _: &Bench| lab.tool(vec![bind(lab.folder("out"), "/out", true)], &["sleep=30"]);
    // Commands of each kind that others of its making follow.
    let table: [(usize, fn(&Lab, &Bench) -> Spec); 2] = [(2, function), (4, tool)];
    runtime().block_on(async {
        for (most, make) in table {
            for number in 1..=most {
                let lab = Lab::new();
                let bench = Arc::new(lab.start().await);
                let spec = make(&lab, &bench);
                lab.host.slow(Duration::from_millis(10));
                let nth = lab.host.count() + number;
                let call = {
                    let bench = bench.clone();
                    tokio::spawn(async move { bench.run(&spec).await.map(|_| ()) })
                };
                lab.host.begun(nth).await;
                bench.backend.close().await;
                lab.is_at_rest(&format!("close at command {number} of {most}"));
                assert!(call.await.unwrap().is_err());
            }
        }
    });
}

fn close_waits_for_callers_that_have_not_read_an_exit() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let null = || std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let (stdin, stdout, stderr) = (null().into(), null().into(), null().into());
        let stdio = Stdio { stdin, stdout, stderr, arguments: None };
        let spec = lab.function(&["sleep=30"]);
        let started = bench.backend.start(&spec, stdio).await.unwrap();
        let busy = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(started);
        };
        tokio::join!(bench.backend.close(), busy);
        lab.is_at_rest("close has returned");
    });
}

fn a_closed_backend_makes_no_island() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        bench.run(&lab.function(&["out=x"])).await.unwrap();
        bench.backend.close().await;
        let error = bench.run(&lab.function(&["out=x"])).await.unwrap_err();
        assert!(error.to_string().contains("the server is stopping"), "{error}");
        lab.at_rest(&bench, "a closed backend").await;
        bench.backend.close().await;
    });
}

fn a_backend_that_is_dropped_without_a_close_removes_ended_islands() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let mut spec = lab.function(&["sleep=30"]);
        spec.setup.address = bench.lease();
        let run = tokio::time::timeout(Duration::from_millis(100), bench.islands.run(&spec));
        assert!(run.await.is_err());
        drop((bench, spec));
        lab.host_at_rest("a backend that was dropped").await;
    });
}
