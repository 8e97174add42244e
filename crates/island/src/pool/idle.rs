//! Whether a warm island is idle.
//!
//! A package may start work that never ends. An island that works before it is called takes
//! processor time from calls of other functions, so the pool ends it and disables the warm pool of
//! its function for a while.

use std::time::Duration;

use tokio::time::Instant;

use crate::backend::Usage;

/// The part of one processor that a program may use while it waits.
const SHARE: f64 = 0.05;
/// How many looks in a row may find more than [`SHARE`]: a package that starts needs processor
/// time.
const PATIENCE: u32 = 3;

/// What earlier looks at one warm island have found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdleCheck {
    last: Option<(Instant, Duration)>,
    above: u32,
    /// Bytes of memory at the last look.
    pub(crate) memory: Option<u64>,
}

impl IdleCheck {
    /// Notes what the island uses now; false when it has worked for too long.
    pub(crate) fn is_idle(&mut self, now: Instant, usage: Usage) -> bool {
        self.memory = Some(usage.memory);
        if let Some((then, before)) = self.last.replace((now, usage.processor)) {
            let used = usage.processor.saturating_sub(before).as_secs_f64();
            let share = used / now.saturating_duration_since(then).as_secs_f64().max(1e-3);
            self.above = if share > SHARE { self.above + 1 } else { 0 };
        }
        self.above < PATIENCE
    }

    /// Whether the last look found that the island did nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.last.is_some() && self.above == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second at a program that has used so many milliseconds by then.
    fn is_idle(processor: &[u64]) -> bool {
        let begin = Instant::now();
        let mut idle_check = IdleCheck::default();
        let look = |(second, milliseconds): (u64, &u64)| {
            let usage = Usage { memory: 1, processor: Duration::from_millis(*milliseconds) };
            idle_check.is_idle(begin + Duration::from_secs(second), usage)
        };
        (0..).zip(processor).all(look)
    }

    #[test]
    fn a_program_that_goes_on_working_is_not_idle_and_one_that_starts_slowly_is() {
        assert!(is_idle(&[3, 3, 4, 4, 4, 5]));
        assert!(is_idle(&[900, 1900, 2500, 2500, 2501]));
        assert!(is_idle(&[0, 200, 200, 400, 400, 600]));
        assert!(!is_idle(&[0, 1000, 2000, 3000]));
        assert!(!is_idle(&[5, 5, 5, 105, 205, 305]));
    }
}
