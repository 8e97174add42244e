//! The definitions of all numbers: the one list that what is recorded, sent, shown and documented is made from.
//!
//! What must always hold: a name means one thing, and its Prometheus name follows from its StatsD name.

use std::borrow::Cow;

/// Every StatsD name starts with this, and a dot.
pub const PREFIX: &str = "sky_island";

/// What came of a call: that it was answered, or the code of the failure. The codes are those of answers.
pub const CODES: &[&str] = &[
    "ok",
    "malformed",
    "unknown_field",
    "url",
    "call",
    "version_text",
    "imports",
    "too_large",
    "slow",
    "not_found",
    "parameter",
    "in_use",
    "method",
    "repository",
    "package",
    "version",
    "function",
    "build",
    "panicked",
    "exited",
    "signaled",
    "killed",
    "out_of_memory",
    "output",
    "main_package",
    "cgo",
    "newer_go",
    "module",
    "source_size",
    "source",
    "busy",
    "draining",
    "deadline",
    "no_address",
    "no_network",
    "internal",
];

/// The kinds of principals that ask for calls, in the order of their numbers.
pub const PRINCIPALS: &[&str] = &["address", "unix", "command_line", "admin", "unknown"];

/// The stages of a call, in their order.
pub const STAGES: &[&str] = &["queue", "fetch", "build", "start", "run"];

/// Where something may be known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Sources on disk, whose version was looked up lately.
    Checkouts,
    /// Programs on disk, and refusals of the compiler that are remembered.
    Artifacts,
    /// Islands that stand by.
    Standby,
}

/// Why nothing was run for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The request is wrong.
    Request,
    /// There is no room.
    Busy,
}

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows: `c` in StatsD.
    Counter,
    /// A span of time for each event: `ms` in StatsD, a histogram of seconds in Prometheus.
    Timer,
    /// It goes up and down: `g` in StatsD.
    Gauge,
}

impl Kind {
    /// What StatsD calls it.
    pub fn statsd(self) -> &'static str {
        match self {
            Self::Counter => "counter (c)",
            Self::Timer => "timer (ms)",
            Self::Gauge => "gauge (g)",
        }
    }

    /// What Prometheus calls it.
    pub fn prometheus(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Timer => "histogram",
            Self::Gauge => "gauge",
        }
    }
}

/// What tells the numbers of one family apart: the last part of the StatsD name, and a label in Prometheus.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// What Prometheus calls it.
    pub name: &'static str,
    /// What it may be.
    pub values: Values,
}

/// The values of a label.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These.
    Of(&'static [&'static str]),
    /// The status codes of HTTP.
    Statuses,
}

/// The status codes of HTTP, from the first to the last that there can be.
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

impl Values {
    /// How many there are.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Of(values) => values.len(),
            Self::Statuses => STATUSES.len(),
        }
    }

    /// One of them.
    pub(super) fn value(self, index: usize) -> Cow<'static, str> {
        match self {
            Self::Of(values) => Cow::Borrowed(values[index]),
            Self::Statuses => Cow::Owned(status(index).to_string()),
        }
    }
}

/// The place of a status code; one that cannot be counts as the last.
pub(super) fn status_index(status: u16) -> usize {
    usize::from(status.clamp(*STATUSES.start(), *STATUSES.end()) - STATUSES.start())
}

/// The status code at a place.
pub(super) fn status(index: usize) -> u16 {
    STATUSES.start() + index as u16
}

/// A family of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// What StatsD calls it, after the prefix.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What is counted; none for spans of time.
    pub unit: &'static str,
    /// What tells the family's numbers apart.
    pub label: Option<Label>,
    /// What the server of 2017 called it, or what was nearest.
    pub former: Option<&'static str>,
    /// What it says.
    pub doc: &'static str,
}

impl Definition {
    /// What StatsD calls one of the family's numbers.
    pub(super) fn key(&self, index: usize) -> String {
        match self.label {
            Some(label) => format!("{}.{}", self.name, label.values.value(index)),
            None => self.name.to_owned(),
        }
    }

    /// How StatsD's names look: `sky_island.calls.<code>`.
    pub fn statsd(&self) -> String {
        let label = self.label.map(|label| format!(".<{}>", label.name)).unwrap_or_default();
        format!("{PREFIX}.{}{label}", self.name)
    }

    /// What Prometheus calls the family: `sky_island_calls_total`.
    pub fn prometheus(&self) -> String {
        let unit = match self.kind {
            Kind::Counter => "_total",
            Kind::Timer => "_seconds",
            Kind::Gauge => "",
        };
        format!("{PREFIX}_{}{unit}", self.name.replace('.', "_"))
    }

    /// How many numbers the family has.
    pub(super) fn count(&self) -> usize {
        self.label.map_or(1, |label| label.values.count())
    }
}

const fn label(name: &'static str, values: &'static [&'static str]) -> Option<Label> {
    Some(Label { name, values: Values::Of(values) })
}

const PURPOSE: Option<Label> = label("purpose", &["fetch", "build", "function"]);
const CACHE: Option<Label> = label("cache", &["checkouts", "artifacts", "standby"]);

macro_rules! families {
    ($($(#[doc = $doc:literal])* $family:ident $kind:ident $name:literal of $unit:literal by $label:expr, was $former:expr;)*) => {
        /// All families; a family's number is its place in [`DEFINITIONS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Family {
            $($(#[doc = $doc])* $family,)*
        }

        /// All definitions.
        pub const DEFINITIONS: &[Definition] = &[$(Definition {
            name: $name,
            kind: Kind::$kind,
            unit: $unit,
            label: $label,
            former: $former,
            doc: concat!($($doc),*),
        },)*];
    };
}

families! {
    /// Calls and requests for one, by what came of them: `ok`, or the code of the answer.
    Calls Counter "calls" of "calls" by label("code", CODES), was Some("handlers.function.run");
    /// Calls and requests for one, by the kind of principal that asked: a client by its address, a user over a unix socket, a user of
    /// the command line, an operator.
    CallPrincipals Counter "call.principals" of "calls" by label("kind", PRINCIPALS), was None;
    /// Calls and requests for one for which nothing was run: the request is wrong (`request`), or there is no room (`busy`).
    Refusals Counter "refusals" of "calls" by label("reason", &["request", "busy"]), was None;
    /// Where a call's time went, as its Server-Timing header says; every call that was taken on has all stages.
    CallStages Timer "call" of "" by label("stage", STAGES), was None;
    /// Answers to requests of any kind, by their status code.
    HttpRequests Counter "http.requests" of "requests" by Some(Label { name: "status", values: Values::Statuses }), was None;
    /// From the head of a request of any kind to the head of its answer.
    HttpRequest Timer "http.request" of "" by None, was None;
    /// Islands that were given something to do, those that stand by included.
    IslandsCreated Counter "island.created" of "islands" by PURPOSE, was Some("jail.created");
    /// Islands whose end was seen, or that were given up.
    IslandsRemoved Counter "island.removed" of "islands" by PURPOSE, was Some("jail.removed");
    /// Islands that were killed: at their deadline, for what they wrote (`output`) or left on disk (`disk`), because they went on
    /// after their answer (`late`), by an operator (`operator`), or because nobody waited for them any more (`dropped`).
    IslandsKilled Counter "island.killed" of "islands" by label("reason", &["deadline", "output", "disk", "late", "operator", "dropped"]), was Some("jail.killed");
    /// What it took to find an island or to have one made, and to give it something to do. On Linux it is made meanwhile.
    IslandCreate Timer "island.create" of "" by PURPOSE, was Some("jail.create_jail_time");
    /// From an island's answer, or its being killed, until nothing inside ran any more.
    IslandTeardown Timer "island.teardown" of "" by PURPOSE, was Some("jail.remove_jail_time");
    /// What a fetch took, whatever came of it: looking a version up, and cloning or downloading where it is new.
    Fetch Timer "fetch" of "" by None, was Some("repo.clone");
    /// What a compilation took, whatever came of it.
    Build Timer "build" of "" by None, was None;
    /// What was looked up and was known already: a source whose version was looked up lately, a program, an island that stood by.
    CacheHits Counter "cache.hits" of "look-ups" by CACHE, was None;
    /// What was looked up and was not known.
    CacheMisses Counter "cache.misses" of "look-ups" by CACHE, was None;
    /// Addresses that were lent.
    AddressesGranted Counter "address.granted" of "leases" by None, was Some("network.allocate");
    /// Calls that found no address free.
    AddressesRefused Counter "address.refused" of "leases" by None, was None;
    /// Addresses that are lent now.
    AddressesBusy Gauge "address.busy" of "addresses" by None, was None;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_numbers_share_a_name() {
        let keys = |it: &Definition| (0..it.count()).map(|at| it.key(at)).collect::<Vec<_>>();
        let all: Vec<_> = DEFINITIONS.iter().flat_map(keys).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        let families: HashSet<_> = DEFINITIONS.iter().map(Definition::prometheus).collect();
        assert_eq!(families.len(), DEFINITIONS.len());
    }

    #[test]
    fn a_prometheus_name_follows_from_the_statsd_name() {
        let names = |family: Family| {
            (DEFINITIONS[family as usize].statsd(), DEFINITIONS[family as usize].prometheus())
        };
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(names(Family::Calls), pair("sky_island.calls.<code>", "sky_island_calls_total"));
        assert_eq!(
            names(Family::HttpRequest),
            pair("sky_island.http.request", "sky_island_http_request_seconds")
        );
        assert_eq!(
            names(Family::AddressesBusy),
            pair("sky_island.address.busy", "sky_island_address_busy")
        );
    }

    #[test]
    fn every_status_has_its_place_and_what_is_none_the_nearest() {
        for code in [100, 200, 404, 599] {
            assert_eq!(status(status_index(code)), code);
        }
        assert_eq!((status(status_index(0)), status(status_index(u16::MAX))), (100, 599));
    }
}
