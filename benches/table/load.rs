//! Figures 7 and 8: what the server takes under a crowd, and when nobody asks.

use std::time::{Duration, Instant};

use crate::client::crowd;
use crate::process::Process;
use crate::report::{Goal, Row, Sample, Unit};
use crate::world::{Absent, World, call};

/// Resident memory under a crowd stays below this, in megabytes.
const CROWD_MB: f64 = 100.0;
/// Resident memory of an idle server stays below this, in megabytes.
const IDLE_MB: f64 = 25.0;
/// An idle server wakes up less often than this in a second.
const IDLE_WAKE_UPS: f64 = 5.0;
/// How long a server rests before it counts as idle.
const REST: Duration = Duration::from_secs(5);
/// How often the memory of the other processes is looked at, which takes the kernel a while.
const HELPERS_EVERY: Duration = Duration::from_secs(5);

/// Many clients at once.
pub(crate) fn many_clients(world: &World) -> Result<Vec<Row>, Absent> {
    let (server, settings) = (world.server()?, &world.settings);
    let process = Process::of(server.pid()).map_err(Absent::Skipped)?;
    let (mut resident, mut helpers, mut looked) = (Vec::new(), Vec::new(), None::<Instant>);
    let watch = || {
        resident.extend(process.resident().map(megabytes));
        if looked.is_none_or(|at| at.elapsed() > HELPERS_EVERY) {
            looked = Some(Instant::now());
            helpers.push(helpers_memory(process));
        }
    };
    let (clients, time) = (settings.crowd, settings.crowd_time);
    let tally = crowd(server.address, clients, &call(), time, watch)?;
    let micros = tally.client_cpu.as_secs_f64() * 1e6 / tally.times.len().max(1) as f64;
    let who = format!("{clients} clients for {} s", time.as_secs());
    let mut wrong = Row::values(
        7,
        format!("{who}: answers that are neither 200 nor 429 or 503 with Retry-After"),
        Unit::Count,
        vec![tally.failures as f64],
        Goal::Below(1.0),
    );
    wrong.notes.extend(tally.failure.clone());
    wrong.notes.push(format!(
        "{} were answered ({:.0}/s), {} were sent away with Retry-After; the clients took {micros:.0} us a call",
        tally.times.len(),
        tally.rate(),
        tally.sent_away
    ));
    let times = Row {
        sample: Sample::of_times(&tally.times),
        ..Row::values(
            7,
            format!("{who}: time of an answer"),
            Unit::Milliseconds,
            Vec::new(),
            Goal::None,
        )
    };
    let memory = |name: &str, values, goal| {
        Row::values(7, format!("{who}: {name}"), Unit::Megabytes, values, goal)
    };
    Ok(vec![
        wrong,
        times,
        memory("memory of the server (RSS)", resident, Goal::Below(CROWD_MB)),
        memory("memory of its other processes (PSS)", helpers, Goal::None),
    ])
}

/// Nobody at all.
pub(crate) fn idle(world: &World) -> Result<Vec<Row>, Absent> {
    let server = world.start("idle")?;
    let process = Process::of(server.pid()).map_err(Absent::Skipped)?;
    std::thread::sleep(REST);
    let helpers = process.helpers();
    let count = || {
        let below: u64 = helpers.iter().map(|helper| helper.sleeps()).sum();
        (process.sleeps(), below)
    };
    let (before, began) = (count(), Instant::now());
    std::thread::sleep(world.settings.idle_time);
    let (after, seconds) = (count(), began.elapsed().as_secs_f64());
    let rate = |before: u64, after: u64| vec![after.saturating_sub(before) as f64 / seconds];
    let resident =
        process.resident().map(megabytes).ok_or_else(|| "the server is gone".to_owned())?;
    let others = helpers_memory(process);
    server.stop()?;
    let row = |name: &str, unit, values, goal| {
        Row::values(8, format!("idle: {name}"), unit, values, goal)
    };
    Ok(vec![
        row("memory of the server (RSS)", Unit::Megabytes, vec![resident], Goal::Below(IDLE_MB)),
        row("memory of its other processes (PSS)", Unit::Megabytes, vec![others], Goal::None),
        row(
            "wake-ups of the server",
            Unit::PerSecond,
            rate(before.0, after.0),
            Goal::Below(IDLE_WAKE_UPS),
        ),
        row(
            "wake-ups of its other processes",
            Unit::PerSecond,
            rate(before.1, after.1),
            Goal::Below(IDLE_WAKE_UPS),
        ),
    ])
}

fn helpers_memory(process: Process) -> f64 {
    megabytes(process.helpers().into_iter().filter_map(Process::proportional).sum())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
