//! The timings of one timer that have not been sent to StatsD yet: measured values, in memory of a
//! fixed size.
//!
//! Invariants: recording a timing takes no lock, allocates nothing and waits for no reader; a value
//! that is taken was measured, and is taken once; of more timings than fit, each has the same
//! chance to be kept.
//!
//! There are two halves: timings are recorded in one while a reader takes those of the other. A
//! recorder that a reader overtakes leaves its value in the half that was read, and the next reader
//! of that half takes it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The most timings that are kept between two readings.
pub(super) const CAPACITY: usize = 1024;
/// A slot without a timing. A timing is stored as its nanoseconds and one.
const EMPTY: u64 = 0;

/// The timings since the last reading.
pub(super) struct Samples {
    /// Which half timings are recorded in.
    current: AtomicUsize,
    halves: [Half; 2],
}

struct Half {
    /// Timings since the last reading of this half, kept or not.
    count: AtomicU64,
    slots: Box<[AtomicU64]>,
}

/// The timings of one reading.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TakenSamples {
    pub(super) timings: Vec<Duration>,
    /// The part of all timings that these are, above 0 and at most 1.
    pub(super) rate: f64,
}

impl Samples {
    pub(super) fn new() -> Self {
        Self { current: AtomicUsize::new(0), halves: [Half::new(), Half::new()] }
    }

    pub(super) fn record(&self, timing: Duration) {
        self.halves[self.current.load(Relaxed) % 2].record(timing);
    }

    /// Takes the timings that were recorded since the last call. For one reader at a time.
    pub(super) fn take(&self) -> TakenSamples {
        self.halves[self.current.fetch_add(1, Relaxed) % 2].take()
    }
}

impl Half {
    fn new() -> Self {
        let slots = (0..CAPACITY).map(|_| AtomicU64::new(EMPTY)).collect();
        Self { count: AtomicU64::new(0), slots }
    }

    /// Keeps the nth timing with a chance of `CAPACITY / n` in a random slot (Vitter's algorithm
    /// R).
    fn record(&self, timing: Duration) {
        let before = self.count.fetch_add(1, Relaxed);
        let slot = if before < CAPACITY as u64 { before } else { scattered(before) % (before + 1) };
        if let Some(slot) = self.slots.get(slot as usize) {
            let nanos = u64::try_from(timing.as_nanos()).unwrap_or(u64::MAX);
            slot.store(nanos.saturating_add(1), Relaxed);
        }
    }

    fn take(&self) -> TakenSamples {
        let count = self.count.swap(0, Relaxed);
        let taken = self.slots.iter().map(|slot| match slot.load(Relaxed) {
            EMPTY => EMPTY,
            _ => slot.swap(EMPTY, Relaxed),
        });
        let timings: Vec<_> =
            taken.filter(|it| *it != EMPTY).map(|it| Duration::from_nanos(it - 1)).collect();
        let rate = if count > CAPACITY as u64 { timings.len() as f64 / count as f64 } else { 1.0 };
        TakenSamples { timings, rate }
    }
}

/// A number that looks random: the finalizer of SplitMix64.
fn scattered(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn micros(samples: &TakenSamples) -> Vec<u64> {
        samples.timings.iter().map(|it| it.as_micros() as u64).collect()
    }

    #[test]
    fn each_timing_is_taken_once_as_it_was_measured() {
        let samples = Samples::new();
        let all = [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(12_345_678)];
        for round in 0..3 {
            all.iter().for_each(|timing| samples.record(*timing));
            assert_eq!(
                samples.take(),
                TakenSamples { timings: all.to_vec(), rate: 1.0 },
                "{round}"
            );
            assert!(samples.take().timings.is_empty());
        }
        samples.record(Duration::MAX);
        assert_eq!(samples.take().timings, [Duration::from_nanos(u64::MAX - 1)]);
    }

    #[test]
    fn of_more_timings_than_fit_a_fair_part_is_kept_and_the_rate_makes_up_for_the_rest() {
        let samples = Samples::new();
        let total = 100_000;
        (0..total).for_each(|at| samples.record(Duration::from_micros(at)));
        let taken = samples.take();
        assert_eq!(taken.timings.len(), CAPACITY);
        let told = taken.timings.len() as f64 / taken.rate;
        assert_eq!(told.round() as u64, total);
        // Each quarter of the second has about a quarter of the samples: 256, with a deviation of
        // 14.
        for quarter in 0..4 {
            let range = quarter * total / 4..(quarter + 1) * total / 4;
            let kept = micros(&taken).iter().filter(|it| range.contains(it)).count();
            assert!((186..=326).contains(&kept), "{kept} of {range:?}");
        }
        samples.record(Duration::from_micros(7));
        assert_eq!((micros(&samples.take()), samples.take().rate), (vec![7], 1.0));
    }

    #[test]
    fn a_reader_beside_recorders_takes_each_timing_once_and_none_that_was_not_measured() {
        let (samples, over) = (Samples::new(), AtomicBool::new(false));
        let (threads, each) = (4_u64, 250_u64);
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            let recorders: Vec<_> = (0..threads)
                .map(|thread| {
                    let samples = &samples;
                    scope.spawn(move || {
                        for at in 0..each {
                            samples.record(Duration::from_nanos(1 + thread * each + at));
                        }
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                let mut taken = Vec::new();
                while !over.load(Relaxed) {
                    taken.extend(samples.take().timings);
                }
                taken
            });
            recorders.into_iter().for_each(|thread| thread.join().unwrap());
            over.store(true, Relaxed);
            taken = reader.join().unwrap();
        });
        // What recorders that were overtaken left in either half.
        taken.extend((0..2).flat_map(|_| samples.take().timings));
        taken.sort();
        let total = taken.len();
        taken.dedup();
        assert_eq!(taken.len(), total, "a timing was taken twice");
        assert!(taken.iter().all(|it| (1..=threads * each).contains(&(it.as_nanos() as u64))));
        // A timing can be replaced where a reading and two recorders meet in one slot; that is
        // seldom.
        assert!(total as u64 >= threads * each * 9 / 10, "{total}");
    }
}
