//! kill -9 of the server at random moments under a mixed load. After each, the next server starts
//! on the same state directory, answers right, and nothing of the dead one is left.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Outcome;
use crate::audit::nothing_is_left_of;
use crate::load::Load;
use crate::plan::Plan;
use crate::world::{KNOWN, World, answers, known, new_build, new_fetch};

/// Branches to fetch: each is new to the server only once.
const BRANCHES: usize = 24;
/// The variable that repeats the moments of a run.
const SEED: &str = "SKY_ISLAND_TORTURE_SEED";

pub(crate) fn run(plan: &Plan) -> Result<Outcome, String> {
    let world = World::new(BRANCHES)?;
    let moments = Moments::new();
    let mut server = world.start()?;
    answers(&server.client, &known(), KNOWN.2)?;
    let (mut right, mut unanswered) = (0, 0);
    for number in 1..=plan.kills {
        let failed = |error: String| {
            format!("kill {number} of {} ({SEED}={}): {error}", plan.kills, moments.seed)
        };
        let load = Load::begin(&server.client, BRANCHES);
        std::thread::sleep(moments.at(number, plan.work));
        let dead = server.pid();
        kill(Pid::from_raw(dead.cast_signed()), Signal::SIGKILL).map_err(|e| e.to_string())?;
        let counts = load.end();
        // Waits for its end, so that its port and its lock are free.
        drop(server);
        if !counts.wrong.is_empty() {
            return Err(failed(format!("answers that must not be: {:#?}", counts.wrong)));
        }
        (right, unanswered) = (right + counts.right, unanswered + counts.unanswered);
        server = world.start().map_err(failed)?;
        let checked = answers(&server.client, &known(), KNOWN.2).and_then(|()| {
            let (fields, text) = new_build(number % 7);
            answers(&server.client, &fields, &text)?;
            let (fields, text) = new_fetch(number % BRANCHES);
            answers(&server.client, &fields, &text)?;
            nothing_is_left_of(dead, &server)
        });
        checked.map_err(failed)?;
    }
    server.stop_well()?;
    Ok(Outcome::Passed(format!(
        "{} kills, 0 leaks; {right} right answers, {unanswered} requests cut off, 0 wrong answers",
        plan.kills
    )))
}

/// The random moments: a hash of the seed and the number.
struct Moments {
    seed: u64,
}

impl Moments {
    fn new() -> Self {
        let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            std::time::UNIX_EPOCH.elapsed().map_or(1, |now| u64::from(now.subsec_nanos()))
        });
        Self { seed }
    }

    /// The moment of one kill, at most `longest` after the load began.
    fn at(&self, number: usize, longest: Duration) -> Duration {
        let mut state = self.seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        longest.mul_f64((state >> 40) as f64 / (1u64 << 24) as f64)
    }
}
