//! The definitions of all metrics: the one list that recording, StatsD, Prometheus and the
//! documentation are made from.
//!
//! Invariants: a name has one meaning; the Prometheus name follows from the StatsD name.

use std::borrow::Cow;

/// Every StatsD name starts with this, and a dot.
pub const PREFIX: &str = "sky_island";

/// The results of calls: `ok`, or the code of the failure, as in responses.
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
    "host",
    "origin",
    "media_type",
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
    "abandoned",
    "over_share",
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

/// A cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Checkouts on disk whose version was resolved lately.
    Checkouts,
    /// Artifacts on disk, and recent refusals of the compiler.
    Artifacts,
    /// Warm islands.
    WarmPool,
}

/// Why nothing was run for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The request is wrong.
    Request,
    /// There is no room.
    Busy,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows: `c` in StatsD.
    Counter,
    /// A timing of each event: `ms` in StatsD, a histogram of seconds in Prometheus.
    Timer,
    /// A number that goes up and down: `g` in StatsD.
    Gauge,
}

impl Kind {
    /// The name of the kind in StatsD.
    pub fn statsd(self) -> &'static str {
        match self {
            Self::Counter => "counter (c)",
            Self::Timer => "timer (ms)",
            Self::Gauge => "gauge (g)",
        }
    }

    /// The name of the kind in Prometheus.
    pub fn prometheus(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Timer => "histogram",
            Self::Gauge => "gauge",
        }
    }
}

/// The label of the metrics of one family: the last part of the StatsD name, and a label in
/// Prometheus.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// The name of the label in Prometheus.
    pub name: &'static str,
    /// The values that the label can have.
    pub values: Values,
}

/// The values of a label.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// A list of values.
    Of(&'static [&'static str]),
    /// The status codes of HTTP.
    Statuses,
}

/// The status codes of HTTP, from the first to the last that there can be.
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

impl Values {
    /// The number of values.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Of(values) => values.len(),
            Self::Statuses => STATUSES.len(),
        }
    }

    /// The value at an index.
    pub(super) fn value(self, index: usize) -> Cow<'static, str> {
        match self {
            Self::Of(values) => Cow::Borrowed(values[index]),
            Self::Statuses => Cow::Owned(status(index).to_string()),
        }
    }
}

/// The index of a status code; an impossible one counts as the nearest that is possible.
pub(super) fn status_index(status: u16) -> usize {
    usize::from(status.clamp(*STATUSES.start(), *STATUSES.end()) - STATUSES.start())
}

/// The status code at an index.
pub(super) fn status(index: usize) -> u16 {
    STATUSES.start() + index as u16
}

/// The definition of a family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The StatsD name, after the prefix.
    pub name: &'static str,
    /// The kind of a metric.
    pub kind: Kind,
    /// The unit of counts; empty for timings.
    pub unit: &'static str,
    /// The label of the family's metrics.
    pub label: Option<Label>,
    /// The name on the server of 2017, or the nearest one there.
    pub former: Option<&'static str>,
    /// The meaning of the metrics.
    pub doc: &'static str,
}

impl Definition {
    /// The StatsD name of one metric of the family, after the prefix.
    pub(super) fn key(&self, index: usize) -> String {
        match self.label {
            Some(label) => format!("{}.{}", self.name, label.values.value(index)),
            None => self.name.to_owned(),
        }
    }

    /// The pattern of the StatsD names: `sky_island.calls.<code>`.
    pub fn statsd(&self) -> String {
        let label = self.label.map(|label| format!(".<{}>", label.name)).unwrap_or_default();
        format!("{PREFIX}.{}{label}", self.name)
    }

    /// The Prometheus name of the family: `sky_island_calls_total`.
    pub fn prometheus(&self) -> String {
        let unit = match self.kind {
            Kind::Counter => "_total",
            Kind::Timer => "_seconds",
            Kind::Gauge => "",
        };
        format!("{PREFIX}_{}{unit}", self.name.replace('.', "_"))
    }

    /// The number of metrics of the family.
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
        /// All families; the number of a family is its index in [`DEFINITIONS`].
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
    /// Calls and requests for calls by their result: `ok`, or the code of the failure.
    Calls Counter "calls" of "calls" by label("code", CODES), was Some("handlers.function.run");
    /// Calls and requests for calls by the kind of principal that asked: a client by its address, a
    /// user over a unix socket, a user of the command line, an operator.
    CallPrincipals Counter "call.principals" of "calls" by label("kind", PRINCIPALS), was None;
    /// Calls and requests for calls that ran nothing: the request was wrong (`request`), or the
    /// server was full (`busy`).
    Refusals Counter "refusals" of "calls" by label("reason", &["request", "busy"]), was None;
    /// The time of each stage of a call, as in its Server-Timing header. Every call that was
    /// admitted has all stages.
    CallStages Timer "call" of "" by label("stage", STAGES), was None;
    /// Responses to requests of any kind, by status code.
    HttpRequests Counter "http.requests" of "requests" by Some(Label { name: "status", values: Values::Statuses }), was None;
    /// The time from the head of a request of any kind to the head of its response.
    HttpRequest Timer "http.request" of "" by None, was None;
    /// Islands that began to fetch, to build or to run a function, warm ones included.
    IslandsCreated Counter "island.created" of "islands" by PURPOSE, was Some("jail.created");
    /// Islands that ended, or that the server could not end and gave up on.
    IslandsRemoved Counter "island.removed" of "islands" by PURPOSE, was Some("jail.removed");
    /// Islands that were killed: at their time limit (`deadline`), at the limit of their output
    /// (`output`) or disk space (`disk`), because they went on after their answer (`late`), by an
    /// operator (`operator`), or because the call had ended (`dropped`).
    IslandsKilled Counter "island.killed" of "islands" by label("reason", &["deadline", "output", "disk", "late", "operator", "dropped"]), was Some("jail.killed");
    /// The time to find or to make an island and to send it its program. On Linux the island may
    /// still be in the making then.
    IslandCreate Timer "island.create" of "" by PURPOSE, was Some("jail.create_jail_time");
    /// The time from an island's answer or kill until no process ran inside.
    IslandTeardown Timer "island.teardown" of "" by PURPOSE, was Some("jail.remove_jail_time");
    /// The time of a fetch, failed or not: to resolve the version, and to clone or download a new
    /// one.
    Fetch Timer "fetch" of "" by None, was Some("repo.clone");
    /// The time of a compilation, failed or not.
    Build Timer "build" of "" by None, was None;
    /// Look-ups that found an entry: a checkout whose version was resolved lately, an artifact, a
    /// warm island.
    CacheHits Counter "cache.hits" of "look-ups" by CACHE, was None;
    /// Look-ups that found no entry.
    CacheMisses Counter "cache.misses" of "look-ups" by CACHE, was None;
    /// Addresses that were lent.
    AddressesGranted Counter "address.granted" of "leases" by None, was Some("network.allocate");
    /// Calls for which no address was free.
    AddressesRefused Counter "address.refused" of "leases" by None, was None;
    /// Addresses that are lent at the moment.
    AddressesBusy Gauge "address.busy" of "addresses" by None, was None;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_metrics_share_a_name() {
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
    fn every_status_has_an_index_and_an_impossible_one_the_nearest() {
        for code in [100, 200, 404, 599] {
            assert_eq!(status(status_index(code)), code);
        }
        assert_eq!((status(status_index(0)), status(status_index(u16::MAX))), (100, 599));
    }
}
