//! Whether an island that stands by stands still.
//!
//! Packages may start work that never ends. An island that works while nobody has called it takes processor time from
//! the calls of others, so it is ended, and its function has none that stand by.

use std::time::{Duration, Instant};

use crate::backend::Usage;

/// The part of one processor that a program may use while it waits.
const SHARE: f64 = 0.05;
/// How often it may be found above that before it is given up: the start of a package takes what it takes.
const PATIENCE: u32 = 3;

/// What was seen of one island that stands by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdleCheck {
    last: Option<(Instant, Duration)>,
    above: u32,
    /// Bytes of memory, when it was looked at last.
    pub(crate) memory: Option<u64>,
}

impl IdleCheck {
    /// Looks once more; false when it has worked for too long.
    pub(crate) fn stands_still(&mut self, now: Instant, usage: Usage) -> bool {
        self.memory = Some(usage.memory);
        if let Some((then, before)) = self.last.replace((now, usage.processor)) {
            let used = usage.processor.saturating_sub(before).as_secs_f64();
            let share = used / now.saturating_duration_since(then).as_secs_f64().max(1e-3);
            self.above = if share > SHARE { self.above + 1 } else { 0 };
        }
        self.above < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second at a program that has used so many milliseconds by then.
    fn stands_still(processor: &[u64]) -> bool {
        let begin = Instant::now();
        let mut idle_check = IdleCheck::default();
        let look = |(second, milliseconds): (u64, &u64)| {
            let usage = Usage { memory: 1, processor: Duration::from_millis(*milliseconds) };
            idle_check.stands_still(begin + Duration::from_secs(second), usage)
        };
        (0..).zip(processor).all(look)
    }

    #[test]
    fn a_program_that_goes_on_working_is_given_up_and_one_that_starts_slowly_is_not() {
        assert!(stands_still(&[3, 3, 4, 4, 4, 5]));
        assert!(stands_still(&[900, 1900, 2500, 2500, 2501]));
        assert!(stands_still(&[0, 200, 200, 400, 400, 600]));
        assert!(!stands_still(&[0, 1000, 2000, 3000]));
        assert!(!stands_still(&[5, 5, 5, 105, 205, 305]));
    }
}
