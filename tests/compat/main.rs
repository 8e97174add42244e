//! What was written for the server of 2017, against one server of today: its clients in Go, Python
//! and C, its status page, and scripts for its admin API. The clients are small ones of our own
//! that say the same on the wire.
//!
//! What must always hold: the server is started by the command line of 2017, on that year's example
//! configuration; every test is named in docs/compatibility.md. Where a client's language is not on
//! this host its test is skipped, and the bytes that such a client sends are sent all the same.

mod c;
mod document;
mod go;
mod host;
mod page;
mod python;
#[path = "../e2e/repositories.rs"]
#[allow(dead_code)]
mod repositories;
mod request;
mod scripts;
#[path = "../support/skip.rs"]
mod skip;
mod wire;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::host::Host;

/// A test: its name, and what it asks of the server.
type Test = (&'static str, fn(&Host) -> Result<(), String>);
/// The server that all tests share, from the first of them on.
type Shared = Arc<OnceLock<Result<Host, String>>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Some end what others need.
    arguments.test_threads.get_or_insert(1);
    let groups = [request::TESTS, go::TESTS, python::TESTS, c::TESTS, page::TESTS, scripts::TESTS];
    let tests: Vec<Test> = groups.concat();
    let names: Vec<&'static str> = tests.iter().map(|(name, _)| *name).collect();
    let shared = Shared::default();
    let trial = |(name, test): Test| {
        let shared = shared.clone();
        let run = move || test(shared.get_or_init(Host::start).as_ref().map_err(Clone::clone)?);
        Trial::test(name, move || run().map_err(Failed::from))
    };
    let mut trials: Vec<Trial> = tests.into_iter().map(trial).collect();
    let named = move || document::names_each_of(&names).map_err(Failed::from);
    trials.push(Trial::test("docs/compatibility.md names each of these tests and no other", named));
    let tested = libtest_mimic::run(&arguments, trials);
    let ended = match shared.get() {
        Some(Ok(host)) => host.stop(),
        _ => Ok(()),
    };
    if let Err(problem) = &ended {
        eprintln!("{problem}");
    }
    if ended.is_ok() { tested.exit_code() } else { ExitCode::from(101) }
}

/// Fails unless both are equal.
fn same<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("got {got:?}, but expected {expected:?}")) }
}

/// Skips a client for which this host has not what it needs. The bytes that it sends are tested all
/// the same.
fn not_given(client: &str, needs: &str) -> Result<(), String> {
    skip::skip(client, &skip::not_here(needs));
    Ok(())
}
