//! The metrics as the admin API shows them: totals since the start, counts of the current second,
//! and percentiles.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::series::{Numbers, Series, Timer};
use super::table::{Cache, Family, STAGES, status, status_index};

/// All metrics at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The time since the server started.
    pub uptime: Duration,
    /// Requests since the start.
    pub total_count: u64,
    /// Requests of the current second.
    pub count: u64,
    /// Responses since the start, by status code.
    pub total_status_codes: BTreeMap<u16, u64>,
    /// Responses of the current second, by status code.
    pub status_codes: BTreeMap<u16, u64>,
    /// The sum of the times of all requests since the start.
    pub total_response_time: Duration,
    /// The stages of calls in their order, then `create` and `teardown` of functions' islands, then
    /// `request`.
    pub stages: Vec<StageLatency>,
    /// Hits and misses of the caches.
    pub cache: CacheCounts,
}

/// The times of a stage, over all calls since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageLatency {
    /// The name of the stage.
    pub stage: &'static str,
    /// The number of timings.
    pub count: u64,
    /// Half of the timings were at most this long; exact to a 32nd, as the other percentiles are.
    pub p50: Duration,
    /// Nine of ten were at most this long.
    pub p90: Duration,
    /// Ninety-nine of a hundred were at most this long.
    pub p99: Duration,
    /// The longest, exactly.
    pub max: Duration,
}

/// Look-ups since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Look-ups that found an entry.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
}

/// Look-ups in all caches, by cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Sources on disk.
    pub checkouts: Lookups,
    /// Programs on disk.
    pub artifacts: Lookups,
    /// Warm islands.
    pub standby: Lookups,
}

/// The counts of responses when the current second began.
pub(super) struct Second {
    began: Instant,
    /// In whole seconds since `began`.
    current: AtomicU64,
    before: Box<[AtomicU64]>,
}

impl Second {
    pub(super) fn new(numbers: &Numbers) -> Self {
        let before = numbers.of(Family::HttpRequests).iter().map(|_| AtomicU64::new(0)).collect();
        Self { began: Instant::now(), current: AtomicU64::new(0), before }
    }

    /// Counts a response. The first one of a second begins a new second.
    pub(super) fn answered(&self, numbers: &Numbers, status: u16) {
        self.turn(numbers, self.began.elapsed().as_secs());
        numbers.count(Family::HttpRequests, status_index(status));
    }

    fn turn(&self, numbers: &Numbers, now: u64) {
        let current = self.current.load(Relaxed);
        if current == now || self.current.compare_exchange(current, now, Relaxed, Relaxed).is_err()
        {
            return;
        }
        for (index, before) in self.before.iter().enumerate() {
            before.store(numbers.counted(Family::HttpRequests, index), Relaxed);
        }
    }
}

impl Snapshot {
    pub(super) fn of(numbers: &Numbers, second: &Second) -> Self {
        let uptime = second.began.elapsed();
        second.turn(numbers, uptime.as_secs());
        let (mut total, mut current) = (BTreeMap::new(), BTreeMap::new());
        for (index, before) in second.before.iter().enumerate() {
            let count = numbers.counted(Family::HttpRequests, index);
            let now = count.saturating_sub(before.load(Relaxed));
            for (codes, count) in [(&mut total, count), (&mut current, now)] {
                if count > 0 {
                    codes.insert(status(index), count);
                }
            }
        }
        Self {
            uptime,
            total_count: total.values().sum(),
            count: current.values().sum(),
            total_status_codes: total,
            status_codes: current,
            total_response_time: numbers.timer(Family::HttpRequest, 0).sum(),
            stages: stages(numbers),
            cache: CacheCounts {
                checkouts: lookups(numbers, Cache::Checkouts),
                artifacts: lookups(numbers, Cache::Artifacts),
                standby: lookups(numbers, Cache::WarmPool),
            },
        }
    }
}

fn stages(numbers: &Numbers) -> Vec<StageLatency> {
    let function = island::Kind::Function as usize;
    let calls = STAGES.iter().zip(numbers.of(Family::CallStages)).filter_map(|(stage, series)| {
        let Series::Timer(timer) = series else { return None };
        Some(latency(stage, timer))
    });
    let others = [
        ("create", Family::IslandCreate, function),
        ("teardown", Family::IslandTeardown, function),
        ("request", Family::HttpRequest, 0),
    ];
    let others = others.map(|(name, family, index)| latency(name, numbers.timer(family, index)));
    calls.chain(others).collect()
}

fn latency(stage: &'static str, timer: &Timer) -> StageLatency {
    let (spread, max) = (timer.histogram(), timer.longest());
    let at = |part| {
        let bucket = spread.quantile_bucket(part).ok().flatten();
        // The end of a bucket may lie beyond the longest span in it.
        bucket.map_or(Duration::ZERO, |it| Duration::from_micros(it.end()).min(max))
    };
    let count = spread.as_slice().iter().sum();
    StageLatency { stage, count, p50: at(0.5), p90: at(0.9), p99: at(0.99), max }
}

fn lookups(numbers: &Numbers, cache: Cache) -> Lookups {
    let count = |family| numbers.counted(family, cache as usize);
    Lookups { hits: count(Family::CacheHits), misses: count(Family::CacheMisses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_second_begins_anew_and_the_totals_go_on() {
        let numbers = Numbers::new();
        let mut second = Second::new(&numbers);
        for status in [200, 200, 404] {
            second.answered(&numbers, status);
        }
        let snapshot = Snapshot::of(&numbers, &second);
        assert_eq!((snapshot.count, snapshot.total_count), (3, 3));
        assert_eq!(snapshot.status_codes, BTreeMap::from([(200, 2), (404, 1)]));
        second.began = second.began.checked_sub(Duration::from_secs(7)).unwrap();
        let snapshot = Snapshot::of(&numbers, &second);
        assert_eq!((snapshot.count, snapshot.total_count), (0, 3));
        assert!(snapshot.status_codes.is_empty() && snapshot.uptime >= Duration::from_secs(7));
        second.answered(&numbers, 503);
        let snapshot = Snapshot::of(&numbers, &second);
        assert_eq!(snapshot.status_codes, BTreeMap::from([(503, 1)]));
        let all = BTreeMap::from([(200, 2), (404, 1), (503, 1)]);
        assert_eq!(snapshot.total_status_codes, all);
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let numbers = Numbers::new();
        for millis in 1..=1000 {
            numbers.time(Family::CallStages, 4, Duration::from_millis(millis));
        }
        let stages = stages(&numbers);
        let run = stages.iter().find(|it| it.stage == "run").unwrap();
        assert_eq!((run.count, run.max), (1000, Duration::from_secs(1)));
        for (found, exact) in [(run.p50, 500.0), (run.p90, 900.0), (run.p99, 990.0)] {
            let found = found.as_secs_f64() * 1000.0;
            assert!(found >= exact && found <= exact * (1.0 + 1.0 / 31.0), "{found} for {exact}");
        }
        let empty = stages.iter().find(|it| it.stage == "queue").unwrap();
        assert_eq!((empty.count, empty.p99, empty.max), (0, Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn the_stages_come_in_the_order_of_a_call() {
        let names: Vec<_> = stages(&Numbers::new()).iter().map(|it| it.stage).collect();
        let order = ["queue", "fetch", "build", "start", "run", "create", "teardown", "request"];
        assert_eq!(names, order);
    }
}
