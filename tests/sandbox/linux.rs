//! What Linux alone promises: no capabilities, no namespaces, no second convention for system calls.

use std::collections::BTreeMap;

use island::{Ending, Purpose};
use serde::Deserialize;

use super::host::{alone, eventually, not_given, promise, read};
use super::system;
use super::tools::tool;

#[derive(Deserialize)]
struct Privileges {
    capabilities: u32,
    capget: u32,
    bounding: u32,
    no_new_privs: u32,
}

impl Privileges {
    fn are_none(&self) -> bool {
        (self.capget, self.capabilities, self.bounding, self.no_new_privs) == (0, 0, 0, 1)
    }
}

#[test]
fn a_function_has_no_capability_in_any_set() {
    promise(|host| assert!(host.ask::<Privileges>(&["rights"]).are_none()));
}

#[test]
fn a_tool_has_no_capability_in_any_set_and_makes_no_namespaces() {
    promise(|host| {
        for purpose in [Purpose::Fetch, Purpose::Build] {
            let privileges: Privileges =
                read(&host.run(&tool(host, purpose, &["rights"], Vec::new())));
            assert!(privileges.are_none(), "{purpose:?}");
            let found = read(&host.run(&tool(host, purpose, &["namespaces"], Vec::new())));
            all_are_refused(&found);
        }
    });
}

#[test]
fn a_function_makes_no_namespaces() {
    promise(|host| all_are_refused(&host.ask(&["namespaces"])));
}

fn all_are_refused(found: &BTreeMap<String, String>) {
    assert_eq!(found.len(), 7);
    assert!(found.values().all(|answer| answer == "ENOSYS"), "{found:?}");
}

#[test]
fn a_functions_timers_may_be_a_millisecond_late() {
    const NAME: &str = "sandbox::linux::a_functions_timers_may_be_a_millisecond_late";
    alone(NAME, 0, |host| {
        let (islands, spec) = (host.islands.clone(), host.function(&["sleep", "60000"]));
        let run = host.runtime.spawn(async move { islands.run(&spec).await });
        eventually("the function runs", || system::functions().len() == 1);
        for function in system::functions() {
            assert_eq!(system::timer_slack(function).unwrap(), 1_000_000, "nanoseconds");
        }
        run.abort();
    });
}

#[test]
fn a_call_by_the_32_bit_convention_ends_the_function() {
    promise(|host| {
        if !cfg!(target_arch = "x86_64") {
            return not_given("32-bit calls", "this processor has none");
        }
        let outcome = host.run(&host.function(&["call-32-bit"]));
        assert!(matches!(outcome.ending, Ending::Signaled(_) | Ending::Exited(2)), "{outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
    });
}
