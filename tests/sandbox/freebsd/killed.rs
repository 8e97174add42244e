//! What a server that was killed leaves goes at the next start.

use std::os::unix::process::ExitStatusExt;

use island::Ending;

use super::super::host::{Host, alone_without_backend, eventually};
use super::super::system::{self, Traces};
use crate::sandbox::again;

/// Set in the process that is killed; says whether its launchers are as well.
const VICTIM: &str = "SKY_ISLAND_SUITE_VICTIM";
/// What that process prints before the prefix of its islands' names.
const SAYS: &str = "islands of the victim: ";

const NAME: &str = concat!(module_path!(), "::what_a_killed_server_left_goes_at_the_next_start");

#[test]
fn what_a_killed_server_left_goes_at_the_next_start() {
    alone_without_backend(NAME, || match std::env::var(VICTIM) {
        Ok(how) => be_killed(how == "with launchers"),
        Err(_) => ["alone", "with launchers"].into_iter().for_each(start_after),
    });
}

/// Kills this process while one function runs.
fn be_killed(with_launchers: bool) {
    let host = Host::start(0).expect("the other process has had one");
    let (islands, spec) = (host.islands.clone(), host.function(&["sleep", "600000"]));
    host.runtime.spawn(async move { islands.run(&spec).await });
    eventually("the function runs", || system::functions().len() == 1);
    println!("{SAYS}{}", system::own());
    let launchers = if with_launchers { system::launchers() } else { Vec::new() };
    for process in launchers.into_iter().chain([std::process::id()]) {
        system::kill(process);
    }
}

fn start_after(how: &str) {
    let output = again::output_alone(again::name_of(NAME), &[(VICTIM, how)]);
    let text = again::text(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{text}");
    let prefix = text.lines().find_map(|line| line.split_once(SAYS)).expect("it has said so").1;
    if how == "alone" {
        // The launcher outlives its server by so much.
        eventually("the launcher has removed its islands", || Traces::of(prefix).is_empty());
    } else {
        let left = Traces::of(prefix);
        assert!(!left.mounts.is_empty() && !left.folders.is_empty(), "nothing is left: {left:?}");
    }
    let Some(host) = Host::start(0) else { panic!("a backend starts") };
    eventually("nothing of the killed server is left", || Traces::of(prefix).is_empty());
    assert_eq!(host.run(&host.function(&["exit", "0"])).ending, Ending::Exited(0));
    host.close();
    eventually("nothing of this one is left", system::is_rid_of_backend);
}
