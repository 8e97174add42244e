//! What operators see of the islands, and the stopping of one.
//!
//! Invariants: only islands of this server are listed or stopped; the call of an island that is
//! stopped learns that an operator did it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use uuid::Uuid;

use crate::backend::{LiveIsland, StartError, Usage};
use crate::id::IslandId;
use crate::registry::table::IslandState;
use crate::registry::table::{IslandRecord, Use};
use crate::run::islands::Islands;
use crate::spec::{Label, Purpose};

/// How long a stop waits until the system confirms the end, and how often it looks. The island ends
/// in any case.
const STOP_WAIT: Duration = Duration::from_secs(2);
const STOP_LOOK: Duration = Duration::from_millis(2);

/// An island, as operators see it.
#[derive(Clone, Debug)]
pub struct IslandInfo {
    /// The name.
    pub id: IslandId,
    /// What the system knows the island by: its first process on Linux, its jail on FreeBSD.
    pub number: i32,
    /// What the island is doing.
    pub state: IslandState,
    /// `function`, `fetch` or `build`.
    pub purpose: &'static str,
    /// The package.
    pub module: Option<String>,
    /// The call that the island runs.
    pub call: Option<Uuid>,
    /// The time since the island was asked for.
    pub age: Duration,
    /// What all processes inside use; none where that is not known.
    pub usage: Option<Usage>,
    /// The address.
    pub address: Option<IpAddr>,
    /// The network in IPv4, in the words of jail(8): `disable`, `inherit` for that of the host, or
    /// `new` for an address of the island's own.
    pub ip4: &'static str,
    /// The network in IPv6.
    pub ip6: &'static str,
    /// The root, as the host sees it.
    pub path: PathBuf,
    /// The host name inside.
    pub hostname: String,
}

impl Islands {
    /// All islands of this server, the oldest first.
    pub async fn list(&self) -> Result<Vec<IslandInfo>, StartError> {
        let seen = self.backend.seen().await?;
        let gates = self.backend.capabilities().gates;
        let aside: HashMap<_, _> = self.backend.aside().into_iter().collect();
        let mut all: Vec<_> = seen
            .into_iter()
            .map(|seen| {
                let known = self.registry.find(&seen.id);
                let aside = aside.get(&seen.id).copied();
                info(seen, known, aside, gates)
            })
            .collect();
        all.sort_by(|one, other| other.age.cmp(&one.age).then(one.number.cmp(&other.number)));
        Ok(all)
    }

    /// How many islands are in each state.
    pub fn states(&self) -> BTreeMap<IslandState, usize> {
        let mut counts: BTreeMap<_, _> = IslandState::ALL.map(|state| (state, 0)).into();
        let aside: HashMap<_, _> = self.backend.aside().into_iter().collect();
        for id in self.backend.list() {
            let known = self.registry.find(&id).map(|known| known.state);
            let state = known.or_else(|| aside.get(&id).copied()).unwrap_or(IslandState::Starting);
            *counts.entry(state).or_default() += 1;
        }
        counts
    }

    /// The call that an island runs.
    pub fn call_of(&self, island: &str) -> Option<Uuid> {
        self.registry.find(&IslandId::parse(island)?)?.label.call
    }

    /// Ends islands, and waits a while until the system confirms their end.
    pub async fn stop(&self, islands: &[IslandId]) {
        for id in islands {
            self.registry.stop(id);
            self.backend.kill(id);
        }
        let until = Instant::now() + STOP_WAIT;
        while self.is_any_alive(islands) && Instant::now() < until {
            sleep(STOP_LOOK).await;
        }
    }

    fn is_any_alive(&self, islands: &[IslandId]) -> bool {
        let aside = self.backend.aside();
        let is_torn_down = |id: &IslandId| aside.contains(&(id.clone(), IslandState::Ending));
        self.backend.list().iter().any(|id| islands.contains(id) && !is_torn_down(id))
    }
}

/// `gates` says whether fetches have no network of the host's.
fn info(
    seen: LiveIsland,
    known: Option<IslandRecord>,
    aside: Option<IslandState>,
    gates: bool,
) -> IslandInfo {
    let unused = IslandRecord {
        state: aside.unwrap_or(IslandState::Starting),
        label: Label::default(),
        used: Use { tool: None, address: None },
    };
    let IslandRecord { state, label, used } = known.unwrap_or(unused);
    let (ip4, ip6) = network(used, gates);
    IslandInfo {
        id: seen.id,
        number: seen.number,
        state: if seen.killed { IslandState::Ending } else { state },
        purpose: match used.tool {
            None => "function",
            Some(Purpose::Fetch) => "fetch",
            Some(Purpose::Build) => "build",
        },
        module: label.module.map(|module| module.to_string()),
        call: label.call,
        age: seen.since.elapsed(),
        usage: seen.usage,
        address: used.address,
        ip4,
        ip6,
        path: seen.path,
        hostname: seen.hostname,
    }
}

fn network(used: Use, gates: bool) -> (&'static str, &'static str) {
    match (used.tool, used.address) {
        (Some(Purpose::Fetch), _) if !gates => ("inherit", "inherit"),
        (_, Some(IpAddr::V4(_))) => ("new", "disable"),
        (_, Some(IpAddr::V6(_))) => ("disable", "new"),
        _ => ("disable", "disable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(killed: bool) -> LiveIsland {
        LiveIsland {
            id: IslandId::parse("si_0123abcd_1").unwrap(),
            number: 42,
            since: Instant::now(),
            killed,
            path: "/proc/42/root".into(),
            hostname: "island".into(),
            usage: None,
        }
    }

    #[test]
    fn an_island_out_of_use_is_made_ahead_or_starting_or_ending() {
        let table = [
            (false, None, IslandState::Starting),
            (false, Some(IslandState::Prefork), IslandState::Prefork),
            (false, Some(IslandState::Ending), IslandState::Ending),
            (true, None, IslandState::Ending),
            (true, Some(IslandState::Prefork), IslandState::Ending),
        ];
        for (killed, aside, expected) in table {
            assert_eq!(info(seen(killed), None, aside, true).state, expected, "{killed} {aside:?}");
        }
    }

    #[test]
    fn the_network_is_told_in_the_words_of_jail() {
        let of = |tool, address: Option<&str>, gates| {
            let address = address.map(|text| text.parse().unwrap());
            let used = Use { tool, address };
            let known = IslandRecord { state: IslandState::Running, label: Label::default(), used };
            let found = info(seen(false), Some(known), None, gates);
            (found.purpose, found.ip4, found.ip6)
        };
        let with = |tool, address| of(tool, address, true);
        assert_eq!(with(None, None), ("function", "disable", "disable"));
        assert_eq!(with(None, Some("10.9.0.1")), ("function", "new", "disable"));
        assert_eq!(with(None, Some("fd00::1")), ("function", "disable", "new"));
        assert_eq!(with(Some(Purpose::Fetch), None), ("fetch", "disable", "disable"));
        assert_eq!(of(Some(Purpose::Fetch), None, false), ("fetch", "inherit", "inherit"));
        assert_eq!(with(Some(Purpose::Build), None), ("build", "disable", "disable"));
    }
}
