//! Figure 1: cached calls of one client beside bare spawns of the same program, in blocks.
//!
//! A block is one kind of work, over and over, so that no kind pays for what another left to do:
//! the server makes the next islands behind an answer, and a spawn that followed each call would
//! compete with that. Blocks of all kinds take turns, so that the machine's other work falls on all
//! of them. A block that is not the server's begins when the server rests.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cached::timing;
use crate::client::Client;
use crate::hand::run;
use crate::report::{Goal, Row};
use crate::sandboxes::Sandbox;
use crate::world::{Absent, CALL, World, call};

/// How long the paced client waits between an answer and its next call.
const PACE: Duration = Duration::from_millis(3);
/// How long the server has to come to rest. It makes islands ahead some 20 ms after a call.
const REST: Duration = Duration::from_millis(200);
/// What a block does before it measures.
const WARM_UP: usize = 5;
/// The others' sandboxes do so many times less, for they take their time.
const SELDOM: usize = 10;

/// The kinds of blocks with one client.
const KINDS: [Kind; 2] = [
    Kind {
        name: "paced by 3 ms",
        pause: Some(PACE),
        goal: Goal::AtMost { median: 0.4, p99: Some(1.0) },
    },
    Kind {
        name: "one after the other",
        pause: None,
        goal: Goal::AtMost { median: 0.7, p99: None },
    },
];

struct Kind {
    name: &'static str,
    pause: Option<Duration>,
    /// The goal of calls in such blocks, beside spawns.
    goal: Goal,
}

/// The times of one kind of work, in all of its blocks so far.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// Adds a block of so many measurements.
    fn block(
        &mut self,
        count: usize,
        pause: Option<Duration>,
        mut once: impl FnMut() -> Result<Duration, String>,
    ) -> Result<(), String> {
        for round in 0..WARM_UP + count {
            let spent = once()?;
            if round >= WARM_UP {
                self.0.push(spent);
            }
            pause.into_iter().for_each(std::thread::sleep);
        }
        Ok(())
    }
}

/// A call beside a spawn of the same program, and beside others' sandboxes around it.
pub(crate) fn beside_a_spawn(world: &World) -> Result<Vec<Row>, Absent> {
    let mut client = world.client()?;
    let project = world.hand.project("cached")?;
    let program = world.hand.build(&project, CALL)?;
    let expected = run(&program)?;
    let request = call();
    client.call(&request)?;
    if !client.answer().contains(&*String::from_utf8_lossy(&expected)) {
        return Err(format!("the server answers otherwise: {}", client.answer()).into());
    }
    let (sandboxes, said) = Sandbox::find(&program, &world.folder("sandboxes")?);
    let mut measured = Measured::new(&sandboxes);
    for turn in 0..world.settings.blocks {
        // Each kind begins in its turn, for the first block of a turn may differ from the last.
        measured.turn(world, turn, &mut client, &request, &program)?;
    }
    let mut rows = measured.rows();
    if let Some(first) = rows.first_mut() {
        let timing = timing(&client.answer());
        first.notes.push(format!("where the last one's time went: {timing}"));
        first.notes.extend(said);
    }
    Ok(rows)
}

/// All times of the figure.
struct Measured<'a> {
    spawns: Times,
    calls: [Times; KINDS.len()],
    others: Vec<(&'a Sandbox, [Times; KINDS.len()])>,
}

impl<'a> Measured<'a> {
    fn new(sandboxes: &'a [Sandbox]) -> Self {
        let others = sandboxes.iter().map(|sandbox| (sandbox, Default::default())).collect();
        Self { spawns: Times::default(), calls: Default::default(), others }
    }

    /// One block of each kind.
    fn turn(
        &mut self,
        world: &World,
        turn: usize,
        client: &mut Client,
        request: &[u8],
        program: &Path,
    ) -> Result<(), String> {
        let count = world.settings.calls.div_ceil(world.settings.blocks);
        let all = KINDS.len() + 1;
        for block in (0..all).map(|block| (block + turn) % all) {
            match KINDS.get(block) {
                Some(kind) => {
                    self.calls[block].block(count, kind.pause, || client.call(request))?;
                }
                None => {
                    std::thread::sleep(REST);
                    self.spawns.block(count, None, || spawn(program))?;
                }
            }
        }
        std::thread::sleep(REST);
        for (sandbox, times) in &mut self.others {
            for (kind, times) in KINDS.iter().zip(times) {
                times.block(count.div_ceil(SELDOM), kind.pause, || sandbox.run())?;
            }
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let yardstick = ("spawn + read + wait, the server at rest", &self.spawns.0[..]);
        let mut rows = Vec::new();
        for (kind, times) in KINDS.iter().zip(&self.calls) {
            let name = format!("cached calls of one client, {}", kind.name);
            rows.push(Row::times(1, name, &times.0, yardstick, kind.goal));
        }
        for (sandbox, times) in &self.others {
            for (kind, times) in KINDS.iter().zip(times) {
                let name = format!("the same program in {}, {}", sandbox.name, kind.name);
                rows.push(Row::times(1, name, &times.0, yardstick, Goal::None));
            }
        }
        rows
    }
}

fn spawn(program: &Path) -> Result<Duration, String> {
    let began = Instant::now();
    run(program)?;
    Ok(began.elapsed())
}
