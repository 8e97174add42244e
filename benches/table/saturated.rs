//! Figure 3: as many calls as the cores give, beside as many bare spawns.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::crowd;
use crate::hand::run;
use crate::report::{Goal, Row, Sample, Unit};
use crate::world::{Absent, CALL, World, call};

/// Clients at once.
const CLIENTS: [usize; 2] = [8, 64];

/// Measures windows of each kind in turns.
pub(crate) fn saturated(world: &World) -> Result<Vec<Row>, Absent> {
    let address = world.server()?.address;
    let program = world.hand.build(&world.hand.project("saturated")?, CALL)?;
    let (request, window) = (call(), world.settings.window);
    let mut rows = Vec::new();
    for clients in CLIENTS {
        let (mut calls, mut spawns) = (Vec::new(), Vec::new());
        let (mut cpu, mut answered, mut failures) = (Duration::ZERO, 0, Vec::new());
        crowd(address, clients, &request, window / 2, || {})?;
        for _ in 0..world.settings.windows {
            let tally = crowd(address, clients, &request, window, || {})?;
            calls.push(tally.rate());
            cpu += tally.client_cpu;
            answered += tally.times.len();
            if tally.failures + tally.sent_away > 0 {
                let why = tally.failure.unwrap_or_else(|| "the server was full".to_owned());
                failures.push(format!("{} failed: {why}", tally.failures + tally.sent_away));
            }
            spawns.push(spawn_rate(&program, clients, window)?);
        }
        let name = format!("spawns by {clients} threads");
        let micros = cpu.as_secs_f64() * 1e6 / (answered.max(1)) as f64;
        let goal = Goal::AtLeast(0.8);
        let mut row =
            Row::values(3, format!("calls of {clients} clients"), Unit::PerSecond, calls, goal);
        row.yardstick = Some((name, Sample::of(spawns)));
        row.failed = !failures.is_empty();
        row.notes = failures;
        rows.push(row.note(format!("the clients took {micros:.0} us of processor time a call")));
    }
    Ok(rows)
}

/// Spawns in a second by so many threads, each of which waits for one before the next.
fn spawn_rate(program: &Path, threads: usize, window: Duration) -> Result<f64, String> {
    let began = Instant::now();
    let one = || -> Result<u64, String> {
        let mut count = 0;
        while began.elapsed() < window {
            run(program)?;
            count += 1;
        }
        Ok(count)
    };
    let count: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let counts =
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread broke")?);
        counts.sum::<Result<u64, String>>()
    })?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
