//! What Linux alone promises: no capabilities, no namespaces, no second convention for system
//! calls.

use std::collections::BTreeMap;

use island::{Ending, Purpose, Spec};
use serde::Deserialize;

use super::host::{Host, not_given, promise, read};
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

fn with_memory(host: &Host, deed: &[&str], memory: u64) -> Spec {
    let mut spec = host.function(deed);
    (spec.setup.resources.memory, spec.setup.resources.processes) = (memory, 20);
    spec
}

#[test]
fn the_limits_of_a_zygote_hold_for_each_of_its_islands() {
    promise(|host| {
        for _ in 0..3 {
            let outcome = host.run(&with_memory(host, &["fork-until-refused"], 96 << 20));
            let started: u64 = String::from_utf8_lossy(&outcome.stdout).trim().parse().unwrap();
            assert!((5..20).contains(&started), "{started}");
        }
        if let Some(why) = host.lacks("memory limit") {
            return not_given("one limit of memory for all of a function", why);
        }
        for _ in 0..3 {
            let outcome = host.run(&with_memory(host, &["allocate-shared"], 96 << 20));
            assert_eq!(outcome.ending, Ending::Memory);
            // Neither is it blamed for what the one before did, nor does it lack what that one
            // took.
            let outcome = host.run(&with_memory(host, &["exit", "3"], 96 << 20));
            assert_eq!(outcome.ending, Ending::Exited(3));
            let outcome = host.run(&with_memory(host, &["allocate-some", "48"], 96 << 20));
            assert_eq!(outcome.ending, Ending::Exited(0));
        }
    });
}
