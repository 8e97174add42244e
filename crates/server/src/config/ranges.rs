//! The ranges of numbers, sizes and durations.
//!
//! Invariants: each key that is a number, a size or a duration has a range in [`RANGES`], except
//! for ports and masks, whose types bound them. A value at either end of a range works.

use std::fmt;
use std::time::Duration;

use crate::config::schema::Config;
use crate::config::units::{Bytes, Span};

/// The values that a key may have, both ends included.
pub(super) struct Range {
    /// The path of the key.
    pub(super) key: &'static str,
    least: Amount,
    most: Amount,
    /// Reads the key's value; none where it is not set.
    read: Read,
    /// Why a smaller value does not work.
    reason: &'static str,
}

/// A value of a key.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Amount {
    Count(u64),
    Size(Bytes),
    Time(Span),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Size(bytes) => bytes.fmt(f),
            Self::Time(span) => span.fmt(f),
        }
    }
}

/// Reads a value of a configuration.
enum Read {
    Count(fn(&Config) -> Option<u64>),
    Size(fn(&Config) -> Option<Bytes>),
    Time(fn(&Config) -> Option<Span>),
}

impl Read {
    fn of(&self, config: &Config) -> Option<Amount> {
        match self {
            Self::Count(read) => read(config).map(Amount::Count),
            Self::Size(read) => read(config).map(Amount::Size),
            Self::Time(read) => read(config).map(Amount::Time),
        }
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
/// The shortest time that a key may name.
const MOMENT: Duration = Duration::from_millis(1);
/// The longest. Additions of such times to any date or clock do not overflow.
const YEAR: Duration = Duration::from_secs(31_557_600);

const GO_MEMORY: &str = ": a Go program does not start with less";
const GO_THREADS: &str = ": a Go program needs that many threads";
const POOL_OFF: &str = "; standby.total = 0 turns the pool off";

const fn count(
    key: &'static str,
    least: u64,
    most: u64,
    read: fn(&Config) -> Option<u64>,
    reason: &'static str,
) -> Range {
    let (least, most) = (Amount::Count(least), Amount::Count(most));
    Range { key, least, most, read: Read::Count(read), reason }
}

const fn size(
    key: &'static str,
    least: u64,
    most: u64,
    read: fn(&Config) -> Option<Bytes>,
    reason: &'static str,
) -> Range {
    let (least, most) = (Amount::Size(Bytes::new(least)), Amount::Size(Bytes::new(most)));
    Range { key, least, most, read: Read::Size(read), reason }
}

const fn time(key: &'static str, read: fn(&Config) -> Option<Span>) -> Range {
    let (least, most) = (Amount::Time(Span::new(MOMENT)), Amount::Time(Span::new(YEAR)));
    Range { key, least, most, read: Read::Time(read), reason: "" }
}

/// An optional count.
fn each(count: Option<usize>) -> Option<u64> {
    count.map(|count| count as u64)
}

/// All ranges.
pub(super) static RANGES: &[Range] = &[
    count("connections", 1, 1 << 20, |config| each(config.connections), ""),
    time("head_wait", |config| config.head_wait),
    time("answer_wait", |config| config.answer_wait),
    time("shutdown_grace", |config| config.shutdown_grace),
    time("jails.cache_default_expiration", |config| Some(config.jails.cache_default_expiration)),
    time("jails.cache_purge_after", |config| Some(config.jails.cache_purge_after)),
    time("jails.build_timeout", |config| Some(config.jails.build_timeout)),
    time("jails.exec_timeout", |config| Some(config.jails.exec_timeout)),
    size("jails.address_space", MIB, 64 * TIB, |config| config.jails.address_space, ""),
    time("limits.queue_wait", |config| Some(config.limits.queue_wait)),
    time("limits.call_timeout", |config| config.limits.call_timeout),
    time("limits.fetch_timeout", |config| Some(config.limits.fetch_timeout)),
    count("limits.calls", 1, 1 << 20, |config| Some(config.limits.calls as u64), ""),
    count("limits.concurrency", 1, 1 << 16, |config| Some(config.limits.concurrency as u64), ""),
    count("limits.builds", 1, 1 << 10, |config| Some(config.limits.builds as u64), ""),
    count("limits.fetches", 1, 1 << 10, |config| Some(config.limits.fetches as u64), ""),
    count("limits.per_client.calls", 1, 1 << 20, |config| each(config.limits.per_client.calls), ""),
    count(
        "limits.per_client.concurrency",
        1,
        1 << 16,
        |config| each(config.limits.per_client.concurrency),
        "",
    ),
    count(
        "limits.per_client.connections",
        1,
        1 << 20,
        |config| each(config.limits.per_client.connections),
        "",
    ),
    count(
        "limits.per_client.builds",
        1,
        1 << 10,
        |config| each(config.limits.per_client.builds),
        "",
    ),
    count(
        "limits.per_client.fetches",
        1,
        1 << 10,
        |config| each(config.limits.per_client.fetches),
        "",
    ),
    count(
        "limits.islands_ahead",
        0,
        1 << 10,
        |config| Some(config.limits.islands_ahead as u64),
        "",
    ),
    count("limits.processes", 16, 1 << 16, |config| Some(config.limits.processes), GO_THREADS),
    size("limits.memory", 16 * MIB, 16 * TIB, |config| Some(config.limits.memory), GO_MEMORY),
    size(
        "limits.build_memory",
        16 * MIB,
        16 * TIB,
        |config| Some(config.limits.build_memory),
        GO_MEMORY,
    ),
    size(
        "limits.fetch_memory",
        16 * MIB,
        16 * TIB,
        |config| Some(config.limits.fetch_memory),
        GO_MEMORY,
    ),
    size("limits.fetch_size", KIB, 16 * TIB, |config| Some(config.limits.fetch_size), ""),
    size("limits.build_size", KIB, 16 * TIB, |config| Some(config.limits.build_size), ""),
    size("limits.output", 1, GIB, |config| Some(config.limits.output), ""),
    size("limits.tmp", KIB, 16 * TIB, |config| Some(config.limits.tmp), ""),
    size("limits.checkout_cache", 1, 1024 * TIB, |config| Some(config.limits.checkout_cache), ""),
    size("limits.artifact_cache", 1, 1024 * TIB, |config| Some(config.limits.artifact_cache), ""),
    count(
        "standby.per_function",
        1,
        1 << 10,
        |config| Some(config.standby.per_function as u64),
        POOL_OFF,
    ),
    count("standby.total", 0, 1 << 16, |config| Some(config.standby.total as u64), ""),
    size("standby.memory", KIB, 16 * TIB, |config| Some(config.standby.memory), ""),
    time("standby.idle", |config| Some(config.standby.idle)),
];

impl Range {
    /// What is wrong with the key's value.
    pub(super) fn problem(&self, config: &Config) -> Option<String> {
        let value = self.read.of(config)?;
        let Self { key, least, most, reason, .. } = self;
        if value < *least {
            return Some(format!("{key}: must be at least {least}, not {value}{reason}"));
        }
        (value > *most).then(|| format!("{key}: must be at most {most}, not {value}"))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}", self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{self, ValueForm};

    /// The largest port and the longest mask are limits of their types.
    const BOUNDED: u64 = u16::MAX as u64;

    #[test]
    fn each_key_with_an_amount_has_a_range_that_its_default_is_in() {
        // They have rules of their own.
        const OTHERS: [&str; 2] = ["jails.children_max", "network.ip4.range"];
        for leaf in keys::leaves() {
            let amount = match &leaf.key.form {
                ValueForm::Whole(most) => *most > BOUNDED,
                ValueForm::Text(of) => matches!(of.as_deref(), Some("duration" | "size")),
                _ => false,
            };
            let has_range = RANGES.iter().any(|range| range.key == leaf.path);
            assert_eq!(amount && !OTHERS.contains(&&*leaf.path), has_range, "{}", leaf.path);
        }
        let config = Config::default();
        for range in RANGES {
            assert_eq!(range.problem(&config), None);
        }
    }

    #[test]
    fn the_ends_of_each_range_are_in_it_and_the_next_values_are_not() {
        let config = |key: &str, value: &serde_json::Value| {
            let wrap = |inner, name: &str| serde_json::json!({ name: inner });
            serde_json::from_value::<Config>(key.rsplit('.').fold(value.clone(), wrap))
        };
        for range in RANGES {
            let [below, least, most, above] = match (range.least, range.most) {
                (Amount::Count(least), Amount::Count(most)) => {
                    [least.wrapping_sub(1), least, most, most + 1].map(serde_json::Value::from)
                }
                (Amount::Size(least), Amount::Size(most)) => {
                    let (least, most) = (least.get(), most.get());
                    [least - 1, least, most, most + 1].map(|bytes| format!("{bytes}B").into())
                }
                (Amount::Time(_), Amount::Time(_)) => {
                    ["999us", "1ms", "31557600s", "31557601s"].map(serde_json::Value::from)
                }
                _ => panic!("{} has two kinds of amounts", range.key),
            };
            for inside in [least, most] {
                let config = config(range.key, &inside).unwrap();
                assert_eq!(range.problem(&config), None, "{}", range.key);
            }
            for outside in [below, above] {
                // No count is below 0, and no size is 0.
                if let Ok(config) = config(range.key, &outside)
                    && outside != u64::MAX
                {
                    let problem = range.problem(&config);
                    assert!(problem.is_some_and(|it| it.contains(range.key)), "{}", range.key);
                }
            }
        }
    }

    #[test]
    fn values_beyond_their_ranges_are_refused_with_both_numbers() {
        let problem = |text: &str| {
            let config: Config = serde_json::from_str(text).unwrap();
            let problems: Vec<_> =
                RANGES.iter().filter_map(|range| range.problem(&config)).collect();
            problems.join("; ")
        };
        let table = [
            (r#"{"limits": {"output": "1GiB", "memory": "16MiB", "processes": 16}}"#, ""),
            (
                r#"{"limits": {"output": "16EiB"}}"#,
                "limits.output: must be at most 1GiB, not 18446744073709551615B",
            ),
            (
                r#"{"limits": {"memory": "9EiB"}}"#,
                "limits.memory: must be at most 16TiB, not 9437184TiB",
            ),
            (
                r#"{"limits": {"processes": 1}}"#,
                "limits.processes: must be at least 16, not 1: a Go program needs that many threads",
            ),
            (
                r#"{"limits": {"processes": 1000000000}}"#,
                "limits.processes: must be at most 65536, not 1000000000",
            ),
            (
                r#"{"limits": {"islands_ahead": 100000}}"#,
                "limits.islands_ahead: must be at most 1024, not 100000",
            ),
            (
                r#"{"jails": {"exec_timeout": "1000years"}}"#,
                "jails.exec_timeout: must be at most 1year, not 1000years",
            ),
            (
                r#"{"limits": {"queue_wait": "1ns"}}"#,
                "limits.queue_wait: must be at least 1ms, not 1ns",
            ),
            (r#"{"connections": 0}"#, "connections: must be at least 1, not 0"),
        ];
        for (text, expected) in table {
            assert_eq!(problem(text), expected, "{text}");
        }
    }
}
