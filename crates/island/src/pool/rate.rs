//! How fast a function is called and how long an island for it takes to make: from these follows how many stand by.
//!
//! Calls are counted with a weight that fades, so that the count divided by the time it takes to fade is the rate. To
//! have an island for each call that comes while one is being made takes rate times making time of them (Little's law);
//! [`MARGIN`] is for calls that do not come evenly.

use std::time::{Duration, Instant};

/// A call's weight falls to 1/e within this.
const FADE: Duration = Duration::from_secs(1);
/// More islands than evenly spread calls would need.
const MARGIN: f64 = 2.0;
/// Less of another island than this is not worth one.
const WORTH: f64 = 0.05;
/// How much the newest making time counts.
const NEWEST: f64 = 0.2;

/// One function's pace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallRate {
    /// Calls, weighted.
    calls: f64,
    /// When that was so.
    at: Instant,
    /// Seconds; none while none was made.
    making: Option<f64>,
}

impl CallRate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { calls: 0.0, at: now, making: None }
    }

    /// A call has come.
    pub(crate) fn called(&mut self, now: Instant) {
        self.calls = self.weight(now) + 1.0;
        self.at = now;
    }

    /// An island was made within `time`.
    pub(crate) fn made(&mut self, time: Duration) {
        let new = time.as_secs_f64();
        self.making = Some(self.making.map_or(new, |old| old + (new - old) * NEWEST));
    }

    /// When the last call came.
    pub(crate) fn last(&self) -> Instant {
        self.at
    }

    /// How many islands should stand by: one, and as many as calls come while another is made.
    pub(crate) fn wanted(&self, now: Instant, most: usize) -> usize {
        let rate = self.weight(now) / FADE.as_secs_f64();
        let meanwhile = rate * self.making.unwrap_or(0.0) * MARGIN;
        (1 + (meanwhile - WORTH).ceil().max(0.0) as usize).min(most)
    }

    fn weight(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.calls * (-since / FADE.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_stand_by_as_calls_come_while_one_is_made() {
        let begin = Instant::now();
        // Calls a second, milliseconds to make one, how many of at most 16.
        for (calls, making, wanted) in
            [(1, 2, 1), (100, 2, 2), (1000, 2, 5), (2000, 4, 16), (10, 300, 8), (0, 300, 1)]
        {
            let mut rate = CallRate::new(begin);
            rate.made(Duration::from_millis(making));
            let mut now = begin;
            for _ in 0..10 * calls {
                now += Duration::from_secs_f64(1.0 / f64::from(calls));
                rate.called(now);
            }
            assert_eq!(rate.wanted(now, 16), wanted, "{calls} a second, {making} ms");
        }
    }

    #[test]
    fn a_function_that_is_called_no_more_has_one() {
        let begin = Instant::now();
        let mut rate = CallRate::new(begin);
        rate.made(Duration::from_millis(5));
        (0..1000).for_each(|_| rate.called(begin));
        assert_eq!(rate.wanted(begin, 16), 11);
        assert_eq!(rate.wanted(begin + Duration::from_secs(60), 16), 1);
        assert_eq!(rate.wanted(begin + Duration::from_secs(600), 0), 0);
    }

    #[test]
    fn one_slow_making_does_not_count_for_all() {
        let mut rate = CallRate::new(Instant::now());
        for _ in 0..20 {
            rate.made(Duration::from_millis(2));
        }
        rate.made(Duration::from_millis(12));
        assert!((rate.making.unwrap() - 0.004).abs() < 1e-6);
    }
}
