//! What operators are told of the islands that there are, and the stopping of one.
//!
//! What must always hold: only islands of this server are listed, and only they are stopped; whoever waits for one that
//! is stopped learns that an operator did it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use uuid::Uuid;

use crate::backend::{LiveIsland, StartError, Usage};
use crate::id::IslandId;
use crate::registry::table::State;
use crate::registry::table::{IslandRecord, Use};
use crate::run::islands::Islands;
use crate::spec::{Label, Purpose};

/// How long a stop waits for the system to confirm the end, and how often it looks. The end comes in any case.
const STOP_WAIT: Duration = Duration::from_secs(2);
const STOP_LOOK: Duration = Duration::from_millis(2);

/// An island, as operators see it.
#[derive(Clone, Debug)]
pub struct IslandInfo {
    /// Its name.
    pub id: IslandId,
    /// What the system knows it by: its first process on Linux, its jail on FreeBSD.
    pub number: i32,
    /// What it is doing.
    pub state: State,
    /// `function`, `fetch` or `build`.
    pub purpose: &'static str,
    /// The package that it is for.
    pub module: Option<String>,
    /// The call that it runs.
    pub call: Option<Uuid>,
    /// How long ago it was asked for.
    pub age: Duration,
    /// What its processes use, where that can be found out.
    pub usage: Option<Usage>,
    /// The address that was lent to it.
    pub address: Option<IpAddr>,
    /// What it has of the host's network in IPv4, in jail(8)'s words: `disable`, `inherit`, or `new` for an address of its
    /// own.
    pub ip4: &'static str,
    /// The same in IPv6.
    pub ip6: &'static str,
    /// Its root, as the host sees it.
    pub path: PathBuf,
    /// The name that it has for itself.
    pub hostname: String,
}

impl Islands {
    /// All islands of this server, in the order of their age.
    pub async fn residents(&self) -> Result<Vec<IslandInfo>, StartError> {
        let seen = self.backend.seen().await?;
        let aside: HashMap<_, _> = self.backend.aside().into_iter().collect();
        let mut all: Vec<_> = seen
            .into_iter()
            .map(|seen| {
                let known = self.registry.find(&seen.id);
                let aside = aside.get(&seen.id).copied();
                resident(seen, known, aside)
            })
            .collect();
        all.sort_by(|one, other| other.age.cmp(&one.age).then(one.number.cmp(&other.number)));
        Ok(all)
    }

    /// How many islands are doing what; all states are there.
    pub fn states(&self) -> BTreeMap<State, usize> {
        let mut counts: BTreeMap<_, _> = State::ALL.map(|state| (state, 0)).into();
        let aside: HashMap<_, _> = self.backend.aside().into_iter().collect();
        for id in self.backend.list() {
            let known = self.registry.find(&id).map(|known| known.state);
            let state = known.or_else(|| aside.get(&id).copied()).unwrap_or(State::Starting);
            *counts.entry(state).or_default() += 1;
        }
        counts
    }

    /// The call that an island runs.
    pub fn call_of(&self, island: &str) -> Option<Uuid> {
        self.registry.find(&IslandId::parse(island)?)?.label.call
    }

    /// Ends islands, and waits a while until the system says that they have ended.
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
        let given_back = |id: &IslandId| aside.contains(&(id.clone(), State::Ending));
        self.backend.list().iter().any(|id| islands.contains(id) && !given_back(id))
    }
}

fn resident(seen: LiveIsland, known: Option<IslandRecord>, aside: Option<State>) -> IslandInfo {
    let nobodys = IslandRecord {
        state: aside.unwrap_or(State::Starting),
        label: Label::default(),
        used: Use { tool: None, address: None },
    };
    let IslandRecord { state, label, used } = known.unwrap_or(nobodys);
    let (ip4, ip6) = network(used);
    IslandInfo {
        id: seen.id,
        number: seen.number,
        state: if seen.killed { State::Ending } else { state },
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

fn network(used: Use) -> (&'static str, &'static str) {
    match (used.tool, used.address) {
        (Some(Purpose::Fetch), _) => ("inherit", "inherit"),
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
    fn an_island_that_nobody_has_is_ahead_or_starting_or_on_its_way_out() {
        let table = [
            (false, None, State::Starting),
            (false, Some(State::Prefork), State::Prefork),
            (false, Some(State::Ending), State::Ending),
            (true, None, State::Ending),
            (true, Some(State::Prefork), State::Ending),
        ];
        for (killed, aside, expected) in table {
            assert_eq!(resident(seen(killed), None, aside).state, expected, "{killed} {aside:?}");
        }
    }

    #[test]
    fn what_an_island_reaches_is_said_in_jails_words() {
        let with = |tool, address: Option<&str>| {
            let address = address.map(|text| text.parse().unwrap());
            let used = Use { tool, address };
            let known = IslandRecord { state: State::Running, label: Label::default(), used };
            let found = resident(seen(false), Some(known), None);
            (found.purpose, found.ip4, found.ip6)
        };
        assert_eq!(with(None, None), ("function", "disable", "disable"));
        assert_eq!(with(None, Some("10.9.0.1")), ("function", "new", "disable"));
        assert_eq!(with(None, Some("fd00::1")), ("function", "disable", "new"));
        assert_eq!(with(Some(Purpose::Fetch), None), ("fetch", "inherit", "inherit"));
        assert_eq!(with(Some(Purpose::Build), None), ("build", "disable", "disable"));
    }
}
