//! The part of the processors and of the disks' time that an island gets when others want it too.
//!
//! Weights decide it: islands of functions weigh the same whatever number of processes they have,
//! and builds and fetches weigh less. A weight costs nothing while processors are free. On a
//! machine of at least [`QUOTA_FROM`] processors no single island gets the last one, which is left
//! to the server and to other islands; with fewer, that would take from a function more than it
//! gives to others.

use serde::{Deserialize, Serialize};

use crate::linux::cgroup::layout::Version;

/// The weight of a function's island, as version 2 counts; the kernel's default.
const FUNCTION: u64 = 100;
/// The weight of a build or a fetch that a client waits for.
const TOOL: u64 = 50;
/// The weight of a build that no client waits for: the least.
const BACKGROUND: u64 = 1;
/// The most that version 2 takes, and version 1.
const HEAVIEST: [u64; 2] = [10_000, 262_144];
/// A default weight as version 1 counts.
const SHARES: u64 = 1024;
/// The fewest processors of a machine on which an island has a quota.
const QUOTA_FROM: u64 = 4;
/// The period of a quota, in microseconds; the kernel's default.
const PERIOD: u64 = 100_000;

/// Which resources the server's groups divide by weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sharing {
    /// The processors.
    pub(crate) cpu: bool,
    /// The time of disks.
    pub(crate) io: bool,
}

/// What an island is for, which decides its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// A function.
    Function,
    /// A build or a fetch that a client waits for.
    Tool,
    /// Work that no client waits for.
    Background,
}

/// A value for a file of a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) file: &'static str,
    pub(crate) value: String,
    /// The island is not made without it. A kernel may lack the files of the others, and a group
    /// above may have a lower quota.
    pub(crate) required: bool,
}

impl Share {
    /// Whether the island has a group in version 1's hierarchy of the processors. There the home
    /// outweighs single processes of the host, and so would the work in the background, which is to
    /// yield to each of them: that stays in the launcher's group, with its policy.
    pub(crate) fn is_in_cpu_hierarchy(self) -> bool {
        self != Self::Background
    }

    fn weight(self) -> u64 {
        match self {
            Self::Function => FUNCTION,
            Self::Tool => TOOL,
            Self::Background => BACKGROUND,
        }
    }

    /// What makes an island's part of the processors. What the kernel sets by itself is left out.
    pub(crate) fn processors(self, version: Version, processors: u64) -> Vec<Setting> {
        let quota = (self == Self::Function && processors >= QUOTA_FROM)
            .then(|| (processors - 1).saturating_mul(PERIOD));
        let mut settings = Vec::new();
        match version {
            Version::Two => {
                if self != Self::Function {
                    settings.push(required("cpu.weight", self.weight().to_string()));
                }
                if self == Self::Background {
                    settings.push(optional("cpu.idle", "1".into()));
                }
                settings.extend(quota.map(|it| optional("cpu.max", format!("{it} {PERIOD}"))));
            }
            Version::One => {
                if self != Self::Function {
                    let shares = self.weight() * SHARES / FUNCTION;
                    settings.push(required("cpu.shares", shares.to_string()));
                }
                settings.extend(quota.map(|it| optional("cpu.cfs_quota_us", it.to_string())));
            }
        }
        settings
    }

    /// What makes an island's part of the disks' time, in version 2.
    pub(crate) fn disks(self) -> Option<Setting> {
        let weight = || optional("io.weight", format!("default {}", self.weight()));
        (self != Self::Function).then(weight)
    }
}

/// The processors of this machine that this process may use.
pub(crate) fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// The weight of the server's home. `beside_threads` says that the server's own process lies in the
/// same group as the home. The kernel then weighs each of its threads, and each thread of other
/// processes there, as much as a whole group; and it divides a group's weight among the processors:
/// the home weighs as much as one thread on each. More would be at the cost of the kernel's own
/// threads, which lie there too: with four times as much, a fork bomb kept them from freeing its
/// memory. Elsewhere the home has groups beside it, such as the server's own, and weighs as much as
/// one.
pub(crate) fn home(version: Version, beside_threads: bool, processors: u64) -> Option<Setting> {
    let (file, one, most) = match version {
        Version::Two => ("cpu.weight", FUNCTION, HEAVIEST[0]),
        Version::One => ("cpu.shares", SHARES, HEAVIEST[1]),
    };
    let weight = one.saturating_mul(processors).min(most);
    beside_threads.then(|| optional(file, weight.to_string()))
}

fn required(file: &'static str, value: String) -> Setting {
    Setting { file, value, required: true }
}

fn optional(file: &'static str, value: String) -> Setting {
    Setting { file, value, required: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(settings: impl IntoIterator<Item = Setting>) -> Vec<String> {
        settings.into_iter().map(|it| format!("{}={}", it.file, it.value)).collect()
    }

    #[test]
    fn functions_weigh_the_same_and_tools_less() {
        let table: [(Version, Share, &[&str]); 5] = [
            (Version::Two, Share::Function, &[]),
            (Version::Two, Share::Tool, &["cpu.weight=50"]),
            (Version::Two, Share::Background, &["cpu.weight=1", "cpu.idle=1"]),
            (Version::One, Share::Function, &[]),
            (Version::One, Share::Tool, &["cpu.shares=512"]),
        ];
        for (version, share, expected) in table {
            assert_eq!(texts(share.processors(version, 2)), expected, "{version:?} {share:?}");
        }
        let disks = [Share::Function, Share::Tool, Share::Background].map(|it| texts(it.disks()));
        let expected: [&[&str]; 3] = [&[], &["io.weight=default 50"], &["io.weight=default 1"]];
        assert_eq!(disks.each_ref().map(Vec::as_slice), expected);
    }

    #[test]
    fn a_function_leaves_a_processor_where_there_are_enough() {
        let table: [(u64, &[&str], &[&str]); 4] = [
            (1, &[], &[]),
            (3, &[], &[]),
            (4, &["cpu.max=300000 100000"], &["cpu.cfs_quota_us=300000"]),
            (64, &["cpu.max=6300000 100000"], &["cpu.cfs_quota_us=6300000"]),
        ];
        for (processors, two, one) in table {
            let of = |version| texts(Share::Function.processors(version, processors));
            assert_eq!((of(Version::Two), of(Version::One)), (strings(two), strings(one)));
        }
        assert_eq!(texts(Share::Tool.processors(Version::Two, 64)), ["cpu.weight=50"]);
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_home_beside_single_threads_weighs_as_much_as_one_on_each_processor() {
        let table = [
            (Version::Two, false, 2, None),
            (Version::Two, true, 2, Some("cpu.weight=200")),
            (Version::Two, true, 128, Some("cpu.weight=10000")),
            (Version::One, false, 2, None),
            (Version::One, true, 2, Some("cpu.shares=2048")),
            (Version::One, true, 512, Some("cpu.shares=262144")),
        ];
        for (version, beside_threads, processors, expected) in table {
            let found = texts(home(version, beside_threads, processors));
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{version:?} {processors}");
        }
    }
}
