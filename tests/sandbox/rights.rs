//! What a function may ask of the system.

use std::collections::BTreeMap;

use serde::Deserialize;
use sky_island::island::Ending;

use super::host::{not_given, promise};

#[derive(Deserialize)]
struct Rights {
    uid: u32,
    euid: u32,
    gid: u32,
    egid: u32,
    groups: Option<Vec<u32>>,
    capabilities: u32,
    capget: u32,
    bounding: u32,
    no_new_privs: u32,
}

#[test]
fn a_function_is_nobody_and_has_no_capability_in_any_set() {
    promise(|host| {
        let Some(found) = on_linux(|| host.ask::<Rights>(&["rights"])) else { return };
        for id in [found.uid, found.euid, found.gid, found.egid] {
            assert_eq!(id, 65_534);
        }
        // Groups without a mapping, which an ordinary user's launcher cannot lay down, read as nobody's.
        assert!(found.groups.unwrap_or_default().iter().all(|group| *group == 65_534));
        assert_eq!((found.capget, found.capabilities, found.bounding), (0, 0, 0));
        assert_eq!(found.no_new_privs, 1);
    });
}

#[test]
fn calls_that_could_lead_off_an_island_are_refused() {
    promise(|host| {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return not_given("the list of calls", "it is written for Linux on x86-64");
        }
        let found: BTreeMap<String, String> = host.ask(&["forbidden"]);
        assert!(found.len() > 150, "{}", found.len());
        let answered = |answer: &str| answer != "ENOSYS" && answer != "EPERM";
        let open: Vec<_> = found.iter().filter(|(_, answer)| answered(answer)).collect();
        assert!(open.is_empty(), "{open:?}");
    });
}

#[test]
fn a_function_makes_no_namespaces() {
    promise(|host| {
        let Some(found) = on_linux(|| host.ask::<BTreeMap<String, String>>(&["namespaces"])) else {
            return;
        };
        assert_eq!(found.len(), 7);
        assert!(found.values().all(|answer| answer == "ENOSYS"), "{found:?}");
    });
}

#[test]
fn a_call_by_the_32_bit_convention_ends_the_function() {
    promise(|host| {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return not_given("32-bit calls", "this processor has none");
        }
        let outcome = host.run(&host.function(&["call-32-bit"]));
        assert!(matches!(outcome.ending, Ending::Signaled(_) | Ending::Exited(2)), "{outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
    });
}

fn on_linux<T>(ask: impl FnOnce() -> T) -> Option<T> {
    if cfg!(target_os = "linux") {
        return Some(ask());
    }
    not_given("what Linux calls capabilities and namespaces", "this is another system");
    None
}
