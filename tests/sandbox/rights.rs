//! What a function may ask of the system.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::host::{not_given, promise};
use super::platform;

/// Who a program on an island is.
#[derive(Debug, Deserialize)]
pub struct Rights {
    uid: u32,
    euid: u32,
    gid: u32,
    egid: u32,
    groups: Option<Vec<u32>>,
}

impl Rights {
    pub fn are_unprivileged(&self) -> bool {
        // Groups without a mapping, which an ordinary user's launcher cannot lay down, read as
        // an unprivileged user's.
        let mut ids = [self.uid, self.euid, self.gid, self.egid].into_iter();
        let mut groups = self.groups.iter().flatten().copied();
        ids.all(platform::is_unprivileged) && groups.all(platform::is_unprivileged)
    }
}

#[test]
fn a_function_is_unprivileged() {
    promise(|host| {
        let found: Rights = host.ask(&["rights"]);
        assert!(found.are_unprivileged(), "{found:?}");
    });
}

#[test]
fn calls_that_could_lead_off_an_island_are_refused() {
    promise(|host| {
        let known = match platform::FORBIDDEN {
            Ok(known) => known,
            Err(why) => return not_given("the list of calls", why),
        };
        let found: BTreeMap<String, String> = host.ask(&["forbidden"]);
        assert!(found.len() > known, "{}", found.len());
        let open: Vec<_> =
            found.iter().filter(|(_, answer)| !platform::is_refusal(answer)).collect();
        assert!(open.is_empty(), "{open:?}");
    });
}
