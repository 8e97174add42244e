//! Figure 2: cached calls with new arguments, beside calls with the same ones.

use std::time::{Duration, Instant};

use crate::client;
use crate::report::{Goal, Row};
use crate::world::{Absent, MODULE, World, call};

/// The longest that figure 2 may take.
const ARGUMENTS_TIME: Duration = Duration::from_secs(30);

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
