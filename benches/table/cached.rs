//! Figures 1 and 2: a cached call on one connection, beside the bare program, and with new
//! arguments.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::client;
use crate::hand::run;
use crate::report::{Goal, Row};
use crate::sandboxes::Sandbox;
use crate::world::{Absent, CALL, MODULE, World, call};

/// Rounds before measuring begins.
const WARM_UP: usize = 30;
/// The others' sandboxes take part in one of so many rounds, for they take their time.
const SELDOM: usize = 10;
/// The longest that figure 2 may take.
const ARGUMENTS_TIME: Duration = Duration::from_secs(30);

/// A call beside a spawn of the same program.
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
    let (mut calls, mut spawns) = (Vec::new(), Vec::new());
    let mut others = vec![Vec::new(); sandboxes.len()];
    for round in 0..WARM_UP + world.settings.calls {
        let (call, spawn) = (client.call(&request)?, spawn(&program)?);
        if round >= WARM_UP {
            calls.push(call);
            spawns.push(spawn);
        }
        if round % SELDOM == 0 {
            for (sandbox, times) in sandboxes.iter().zip(&mut others) {
                times.push(sandbox.run()?);
            }
        }
    }
    let yardstick = ("spawn + read + wait, no isolation", &spawns[..]);
    let goal = Goal::AtMost { median: 0.5, p99: Some(1.0) };
    let mut first = Row::times(1, "cached call, one client", &calls, yardstick, goal);
    first.notes.push(format!("where the last one's time went: {}", timing(&client.answer())));
    first.notes.extend(said);
    let mut rows = vec![first];
    for (sandbox, times) in sandboxes.iter().zip(&others) {
        let name = format!("the same program in {}", sandbox.name);
        rows.push(Row::times(1, name, times, yardstick, Goal::None));
    }
    Ok(rows)
}

fn spawn(program: &Path) -> Result<Duration, String> {
    let began = Instant::now();
    run(program)?;
    Ok(began.elapsed())
}

/// Calls with arguments that were never sent before, beside calls with the same ones.
pub(crate) fn new_arguments(world: &World) -> Result<Vec<Row>, Absent> {
    let mut client = world.client()?;
    let same = call();
    client.call(&same)?;
    let (mut new, mut equal) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for round in 0..world.settings.arguments {
        if began.elapsed() > ARGUMENTS_TIME {
            break;
        }
        let text = format!("Encode({}.{round:06}, -{}.5)", round % 90, round % 180);
        let other = client::request(MODULE, &text);
        // Each goes first in every other round, for what one leaves behind may cost the next.
        if round % 2 == 0 {
            new.push(client.call(&other)?);
            equal.push(client.call(&same)?);
        } else {
            equal.push(client.call(&same)?);
            new.push(client.call(&other)?);
        }
    }
    let goal = Goal::AtMost { median: 1.1, p99: None };
    let yardstick = ("with equal arguments", &equal[..]);
    Ok(vec![Row::times(2, "cached call, new arguments each", &new, yardstick, goal)])
}

/// What an answer's `Server-Timing` says.
pub(crate) fn timing(answer: &str) -> String {
    let line = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("server-timing").then_some(value)
    });
    line.unwrap_or("the server does not say").to_owned()
}
