//! What a function finds around itself: processes, names, networks, descriptors, other islands.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::again;
use super::host::{Host, limits, promise, read};
use super::offers::Offers;
use super::platform;

#[derive(Deserialize)]
struct Processes {
    own: i64,
    parent: i64,
    found: Vec<i64>,
    threads: usize,
    all: String,
}

#[derive(Deserialize)]
struct Surroundings {
    environment: Vec<String>,
    arguments: Vec<String>,
    folder: String,
    host: String,
}

#[derive(Deserialize)]
struct Met {
    found: BTreeMap<String, bool>,
    offers: u32,
}

#[test]
fn a_function_finds_and_signals_no_other_process() {
    promise(|host| {
        let found: Processes = host.ask(&["processes"]);
        if let Some(first) = platform::FIRST_PROCESS {
            assert_eq!((found.own, found.parent), first);
        }
        assert!(found.found.contains(&found.own), "{:?}", found.found);
        assert!(found.found.len() <= found.threads.max(1), "{:?}", found.found);
        assert_eq!(found.all, "no such process");
    });
}

#[test]
fn a_functions_environment_is_exactly_what_was_promised() {
    promise(|host| {
        let found: Surroundings = host.ask(&["surroundings"]);
        let soft = format!("GOMEMLIMIT={}", limits().resources.memory / 10 * 9);
        let promised = [&soft, "HOME=/tmp", "PATH=/", "TMPDIR=/tmp", "ZONEINFO=/zoneinfo.zip"];
        assert_eq!(found.environment, promised);
        assert_eq!(found.arguments, ["function", "surroundings"]);
        assert_eq!(found.folder, "/tmp");
    });
}

#[test]
fn a_function_does_not_learn_the_hosts_name() {
    promise(|host| {
        let own = nix::unistd::gethostname().unwrap();
        let found: Surroundings = host.ask(&["surroundings"]);
        assert_ne!(found.host, own.to_string_lossy());
        assert!(!found.host.is_empty());
    });
}

#[test]
fn a_function_has_only_its_input_and_outputs_open() {
    promise(|host| {
        for _ in 0..3 {
            let mut promised = vec![0, 1, 2];
            // The line on which the program is called.
            promised.extend(again::is_on_standbys().then_some(3));
            assert_eq!(host.ask::<Vec<i32>>(&["descriptors-at-start"]), promised);
        }
    });
}

#[test]
fn a_function_reaches_nothing_of_the_hosts_network() {
    promise(|host| {
        let offers = Offers::open();
        let mut deed = vec!["reach"];
        let pairs = offers.pairs();
        deed.extend(pairs.iter().flat_map(|(network, address)| [*network, address.as_str()]));
        let found: BTreeMap<String, String> = host.ask(&deed);
        assert_eq!(found.len(), pairs.len());
        let reached: Vec<_> = found.iter().filter(|(_, said)| *said == "done").collect();
        assert!(reached.is_empty(), "{reached:?}");
        // Not even the loopback interface is up: there is no route to any address.
        for (to, said) in found.iter().filter(|(to, _)| to.starts_with("udp")) {
            assert!(platform::NO_NETWORK.iter().any(|text| said.contains(text)), "{to}: {said}");
        }
        offers.were_not_used();
    });
}

#[test]
fn two_functions_that_run_at_one_time_do_not_find_each_other() {
    promise(|host| {
        let met = meet(host);
        for met in met {
            assert!(met.found.is_empty(), "{:?}", met.found);
            // The test means something only where there was something to be found.
            assert!(met.offers >= 2, "{}", met.offers);
        }
    });
}

fn meet(host: &Host) -> [Met; 2] {
    let (one, two) =
        (host.function(&["meet", "4101", "4102"]), host.function(&["meet", "4102", "4101"]));
    let both = async { tokio::join!(host.islands.run(&one), host.islands.run(&two)) };
    let (one, two) = host.runtime.block_on(both);
    [read(&one.unwrap()), read(&two.unwrap())]
}
