//! How fast a function is called and how long one of its islands takes to start: from these follows
//! how many warm islands the function should have.
//!
//! The weight of each call fades, so that the sum of the weights divided by [`FADE`] is the rate.
//! An island for each call that comes while another island starts takes rate times starting time of
//! islands (Little's law); [`MARGIN`] is for calls that do not come evenly.

use std::time::Duration;

use tokio::time::Instant;

/// The time within which the weight of a call falls to 1/e.
const FADE: Duration = Duration::from_secs(1);
/// How many times the islands that evenly spread calls would need.
const MARGIN: f64 = 2.0;
/// The smallest part of an island that another island is started for.
const WORTH: f64 = 0.05;
/// The weight of the newest starting time in the average.
const NEWEST: f64 = 0.2;

/// The rate of one function's calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallRate {
    /// The sum of the weights at `at`.
    calls: f64,
    /// When the last call came.
    at: Instant,
    /// The average starting time in seconds; none before the first island.
    starting: Option<f64>,
}

impl CallRate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { calls: 0.0, at: now, starting: None }
    }

    /// A call has come.
    pub(crate) fn called(&mut self, now: Instant) {
        self.calls = self.weight(now) + 1.0;
        self.at = now;
    }

    /// An island was ready after `time`.
    pub(crate) fn started(&mut self, time: Duration) {
        let new = time.as_secs_f64();
        self.starting = Some(self.starting.map_or(new, |old| old + (new - old) * NEWEST));
    }

    /// When the last call came.
    pub(crate) fn last(&self) -> Instant {
        self.at
    }

    /// How many warm islands there should be: one, and as many as calls come while another one
    /// starts.
    pub(crate) fn wanted(&self, now: Instant, most: usize) -> usize {
        let rate = self.weight(now) / FADE.as_secs_f64();
        let meanwhile = rate * self.starting.unwrap_or(0.0) * MARGIN;
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
    fn there_are_as_many_as_calls_come_while_one_starts() {
        let begin = Instant::now();
        // Calls a second, milliseconds that an island takes to start, how many of at most 16.
        for (calls, starting, wanted) in
            [(1, 2, 1), (100, 2, 2), (1000, 2, 5), (2000, 4, 16), (10, 300, 8), (0, 300, 1)]
        {
            let mut rate = CallRate::new(begin);
            rate.started(Duration::from_millis(starting));
            let mut now = begin;
            for _ in 0..10 * calls {
                now += Duration::from_secs_f64(1.0 / f64::from(calls));
                rate.called(now);
            }
            assert_eq!(rate.wanted(now, 16), wanted, "{calls} a second, {starting} ms");
        }
    }

    #[test]
    fn a_function_without_calls_has_one() {
        let begin = Instant::now();
        let mut rate = CallRate::new(begin);
        rate.started(Duration::from_millis(5));
        (0..1000).for_each(|_| rate.called(begin));
        assert_eq!(rate.wanted(begin, 16), 11);
        assert_eq!(rate.wanted(begin + Duration::from_secs(60), 16), 1);
        assert_eq!(rate.wanted(begin + Duration::from_secs(600), 0), 0);
    }

    #[test]
    fn one_slow_start_does_not_count_for_all() {
        let mut rate = CallRate::new(Instant::now());
        for _ in 0..20 {
            rate.started(Duration::from_millis(2));
        }
        rate.started(Duration::from_millis(12));
        assert!((rate.starting.unwrap() - 0.004).abs() < 1e-6);
    }
}
