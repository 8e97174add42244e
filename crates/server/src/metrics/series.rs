//! The metrics themselves, in memory.
//!
//! Invariants: recording changes some atomics: it takes no lock, allocates nothing and waits for no
//! reader; counters never go back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use histogram::{AtomicHistogram, Histogram};

use super::samples::{Samples, TakenSamples};
use super::table::{DEFINITIONS, Family, Kind};

/// The buckets of a histogram are as wide as a 32nd of their timings: the power of two.
const PRECISION: u8 = 5;
/// The longest timing that buckets tell apart is two to this many microseconds, 19 hours; longer
/// ones count as that.
const LONGEST: u8 = 36;

/// One metric.
pub(super) enum Series {
    Counter(AtomicU64),
    Gauge(AtomicI64),
    Timer(Timer),
}

/// All metrics, by family and the index of their label's value.
pub(super) struct Numbers {
    families: Vec<Box<[Series]>>,
}

impl Numbers {
    pub(super) fn new() -> Self {
        let series = |kind| match kind {
            Kind::Counter => Series::Counter(AtomicU64::new(0)),
            Kind::Gauge => Series::Gauge(AtomicI64::new(0)),
            Kind::Timer => Series::Timer(Timer::new()),
        };
        let family =
            DEFINITIONS.iter().map(|it| (0..it.count()).map(|_| series(it.kind)).collect());
        Self { families: family.collect() }
    }

    /// Has all timers keep their timings, for [`Timer::take_samples`], from now on.
    pub(super) fn keep_samples(&self) {
        for series in self.families().flatten() {
            if let Series::Timer(timer) = series {
                timer.samples.get_or_init(Samples::new);
            }
        }
    }

    /// The metrics of a family.
    pub(super) fn of(&self, family: Family) -> &[Series] {
        &self.families[family as usize]
    }

    /// All families, in the order of their definitions.
    pub(super) fn families(&self) -> impl Iterator<Item = &[Series]> {
        self.families.iter().map(|family| &**family)
    }

    pub(super) fn count(&self, family: Family, index: usize) {
        match &self.of(family)[index] {
            Series::Counter(number) => number.fetch_add(1, Relaxed),
            _ => unreachable!("{family:?} is no counter"),
        };
    }

    pub(super) fn time(&self, family: Family, index: usize, span: Duration) {
        match &self.of(family)[index] {
            Series::Timer(timer) => timer.record(span),
            _ => unreachable!("{family:?} is no timer"),
        }
    }

    pub(super) fn change(&self, family: Family, by: i64) {
        match &self.of(family)[0] {
            Series::Gauge(number) => number.fetch_add(by, Relaxed),
            _ => unreachable!("{family:?} is no gauge"),
        };
    }

    /// The value of a counter.
    pub(super) fn counted(&self, family: Family, index: usize) -> u64 {
        match &self.of(family)[index] {
            Series::Counter(number) => number.load(Relaxed),
            _ => unreachable!("{family:?} is no counter"),
        }
    }

    /// One timer.
    pub(super) fn timer(&self, family: Family, index: usize) -> &Timer {
        match &self.of(family)[index] {
            Series::Timer(timer) => timer,
            _ => unreachable!("{family:?} is no timer"),
        }
    }
}

/// The timings of one timer.
pub(super) struct Timer {
    /// In nanoseconds.
    sum: AtomicU64,
    /// In nanoseconds.
    longest: AtomicU64,
    /// The number of timings by their length in microseconds.
    histogram: AtomicHistogram,
    /// The timings that have not been sent yet; none while nothing is sent.
    samples: OnceLock<Samples>,
}

impl Timer {
    fn new() -> Self {
        let histogram = AtomicHistogram::new(PRECISION, LONGEST).expect("both powers are in range");
        let (sum, longest) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { sum, longest, histogram, samples: OnceLock::new() }
    }

    fn record(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let micros = (nanos / 1000).min((1 << LONGEST) - 1);
        // The value is in range.
        let _ = self.histogram.increment(micros);
        self.sum.fetch_add(nanos, Relaxed);
        if nanos > self.longest.load(Relaxed) {
            self.longest.fetch_max(nanos, Relaxed);
        }
        if let Some(samples) = self.samples.get() {
            samples.record(span);
        }
    }

    /// Takes the timings that were recorded since the last call, as they were measured.
    pub(super) fn take_samples(&self) -> TakenSamples {
        self.samples.get().map(Samples::take).unwrap_or_default()
    }

    /// The sum of all timings.
    pub(super) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum.load(Relaxed))
    }

    /// The longest timing.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Relaxed))
    }

    /// The number of timings by their length in microseconds, as of now.
    pub(super) fn histogram(&self) -> Histogram {
        self.histogram.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_has_the_count_the_sum_and_the_longest_of_its_timings() {
        let timer = Timer::new();
        for millis in [1, 2, 300] {
            timer.record(Duration::from_millis(millis));
        }
        assert_eq!(timer.sum(), Duration::from_millis(303));
        assert_eq!(timer.longest(), Duration::from_millis(300));
        assert_eq!(timer.histogram().as_slice().iter().sum::<u64>(), 3);
    }

    #[test]
    fn a_timing_of_any_length_is_counted() {
        let timer = Timer::new();
        for span in [Duration::ZERO, Duration::MAX, Duration::from_secs(1 << 20)] {
            timer.record(span);
        }
        assert_eq!(timer.histogram().as_slice().iter().sum::<u64>(), 3);
        assert_eq!(timer.longest(), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn a_bucket_is_as_wide_as_a_thirty_second_of_its_timings() {
        for micros in [1, 31, 400, 12_345, 9_999_999] {
            let timer = Timer::new();
            timer.record(Duration::from_micros(micros));
            let bucket = timer.histogram().quantile_bucket(0.5).unwrap().unwrap();
            assert!(bucket.range().contains(&micros));
            assert!(bucket.end() - bucket.start() <= micros / 32, "{micros}: {bucket:?}");
        }
    }

    #[test]
    fn counters_that_many_threads_increment_lose_nothing() {
        let numbers = Numbers::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| numbers.count(Family::Calls, 0)));
            }
        });
        assert_eq!(numbers.counted(Family::Calls, 0), 4000);
    }
}
