//! A future of an island's run that is dropped at any moment leaves nothing.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use host::net::Family;
use island::Spec;
use libtest_mimic::Trial;

use crate::lab::{Bench, Lab, bind, runtime};
use crate::launcher::CONNECTS;
use crate::trials;

/// More polls, and more commands, than any of these runs takes.
const MOST: usize = 200;

pub fn trials() -> Vec<Trial> {
    trials![
        a_functions_wait_may_be_dropped_at_any_await,
        a_tools_wait_may_be_dropped_at_any_await,
        a_functions_wait_may_be_dropped_at_any_command,
        a_functions_wait_with_an_ipv6_address_may_be_dropped_at_any_command,
        a_tools_wait_may_be_dropped_at_any_command,
    ]
}

/// Polls a future so many times and drops it, if it has not ended, at once or when it would be
/// polled again.
async fn polled<F: Future>(future: F, times: usize, at_once: bool) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|context| {
        if polls >= times {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if at_once && polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn a_function(lab: &Lab, bench: &Bench, number: usize) -> Spec {
    let mut spec = lab.new_function(number, &["out=x", CONNECTS, "sleep=0.01"]);
    spec.setup.address = bench.lease();
    spec
}

fn a_tool(lab: &Lab, _: &Bench, _: usize) -> Spec {
    let binds = vec![bind(lab.folder("src"), "/src", false), bind(lab.folder("out"), "/out", true)];
    lab.tool(binds, &["out=x", "sleep=0.01"])
}

fn at_any_await(make: fn(&Lab, &Bench, usize) -> Spec) {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for at_once in [true, false] {
            let mut ended = false;
            for times in 0..MOST {
                let spec = make(&lab, &bench, times);
                let run = polled(bench.islands.run(&spec), times, at_once).await;
                drop(spec);
                let what = format!("dropped after {times} polls, at once: {at_once}");
                lab.at_rest(&bench, &what).await;
                if let Some(outcome) = run {
                    assert!(outcome.is_ok(), "{what}: {outcome:?}");
                    ended = true;
                    break;
                }
            }
            assert!(ended, "it was polled more than {MOST} times");
            lab.next_works(&bench, "dropped waits").await;
        }
    });
}

fn at_any_command(make: fn(&Lab, &Bench, usize) -> Spec) {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for number in 1..MOST {
            let spec = make(&lab, &bench, number);
            let nth = lab.host.count() + number;
            let ended = tokio::select! {
                biased;
                () = lab.host.begun(nth) => false,
                outcome = bench.islands.run(&spec) => outcome.is_ok(),
            };
            drop(spec);
            let what = format!("dropped at command {number}");
            lab.at_rest(&bench, &what).await;
            lab.next_works(&bench, &what).await;
            if ended {
                assert!(number > 2, "it sent only {number} commands");
                return;
            }
        }
        panic!("it sent more than {MOST} commands");
    });
}

fn a_functions_wait_may_be_dropped_at_any_await() {
    at_any_await(a_function);
}

fn a_tools_wait_may_be_dropped_at_any_await() {
    at_any_await(a_tool);
}

fn a_functions_wait_may_be_dropped_at_any_command() {
    at_any_command(a_function);
}

fn a_functions_wait_with_an_ipv6_address_may_be_dropped_at_any_command() {
    at_any_command(|lab, bench, _| {
        let mut spec = lab.function(&["out=x"]);
        spec.setup.address = bench.lease_of(Family::V6);
        spec
    });
}

fn a_tools_wait_may_be_dropped_at_any_command() {
    at_any_command(a_tool);
}
