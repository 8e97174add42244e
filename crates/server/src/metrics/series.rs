//! The numbers themselves, in memory: whoever records one changes some atomics and waits for nobody.
//!
//! What must always hold: a recording takes no lock and allocates nothing; counters never go back.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use histogram::{AtomicHistogram, Histogram};

use super::table::{DEFINITIONS, Family, Kind};

/// Spans are told apart to a 32nd of their length: the power of two.
const PRECISION: u8 = 5;
/// The longest span is two to this many microseconds, 19 hours; longer ones count as that.
const LONGEST: u8 = 36;

/// One number.
pub(super) enum Series {
    Counter(AtomicU64),
    Gauge(AtomicI64),
    Timer(Timer),
}

/// All numbers, by family and the place of their label's value.
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

    /// The numbers of a family.
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

    /// What a counter stands at.
    pub(super) fn counted(&self, family: Family, index: usize) -> u64 {
        match &self.of(family)[index] {
            Series::Counter(number) => number.load(Relaxed),
            _ => unreachable!("{family:?} is no counter"),
        }
    }

    /// The spans of a timer.
    pub(super) fn timer(&self, family: Family, index: usize) -> &Timer {
        match &self.of(family)[index] {
            Series::Timer(timer) => timer,
            _ => unreachable!("{family:?} is no timer"),
        }
    }
}

/// The spans of one timer.
pub(super) struct Timer {
    /// In nanoseconds.
    sum: AtomicU64,
    /// In nanoseconds.
    longest: AtomicU64,
    /// How many there are of each length, in microseconds.
    spread: AtomicHistogram,
}

impl Timer {
    fn new() -> Self {
        let spread = AtomicHistogram::new(PRECISION, LONGEST).expect("both powers are in range");
        Self { sum: AtomicU64::new(0), longest: AtomicU64::new(0), spread }
    }

    fn record(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let micros = (nanos / 1000).min((1 << LONGEST) - 1);
        // It is in range.
        let _ = self.spread.increment(micros);
        self.sum.fetch_add(nanos, Relaxed);
        if nanos > self.longest.load(Relaxed) {
            self.longest.fetch_max(nanos, Relaxed);
        }
    }

    /// All spans together.
    pub(super) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum.load(Relaxed))
    }

    /// The longest span.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Relaxed))
    }

    /// How many there are of each length, in microseconds, at this moment.
    pub(super) fn spread(&self) -> Histogram {
        self.spread.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_knows_how_many_how_long_and_the_longest() {
        let timer = Timer::new();
        for millis in [1, 2, 300] {
            timer.record(Duration::from_millis(millis));
        }
        assert_eq!(timer.sum(), Duration::from_millis(303));
        assert_eq!(timer.longest(), Duration::from_millis(300));
        assert_eq!(timer.spread().as_slice().iter().sum::<u64>(), 3);
    }

    #[test]
    fn a_span_of_any_length_is_counted() {
        let timer = Timer::new();
        for span in [Duration::ZERO, Duration::MAX, Duration::from_secs(1 << 20)] {
            timer.record(span);
        }
        assert_eq!(timer.spread().as_slice().iter().sum::<u64>(), 3);
        assert_eq!(timer.longest(), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn a_span_is_known_to_within_a_thirty_second_of_its_length() {
        for micros in [1, 31, 400, 12_345, 9_999_999] {
            let timer = Timer::new();
            timer.record(Duration::from_micros(micros));
            let bucket = timer.spread().quantile_bucket(0.5).unwrap().unwrap();
            assert!(bucket.range().contains(&micros));
            assert!(bucket.end() - bucket.start() <= micros / 32, "{micros}: {bucket:?}");
        }
    }

    #[test]
    fn what_many_threads_count_is_all_counted() {
        let numbers = Numbers::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| numbers.count(Family::Calls, 0)));
            }
        });
        assert_eq!(numbers.counted(Family::Calls, 0), 4000);
    }
}
