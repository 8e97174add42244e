//! Figure 6: a cache that is full of artifacts, beside one with a few.

use std::fs;
use std::path::Path;

use uuid::Uuid;

use crate::report::{Goal, Row, Unit};
use crate::server::Server;
use crate::world::{Absent, World, call};

/// Artifacts in the small cache.
const FEW: usize = 10;
/// A start takes less than this, in milliseconds.
const START_MS: f64 = 1000.0;
/// Calls of each server after each start.
const CALLS: usize = 60;

/// Starts and cached calls with many artifacts, in turns with few.
pub(crate) fn many_artifacts(world: &World) -> Result<Vec<Row>, Absent> {
    let many = world.settings.artifacts;
    for (name, count) in [("few", FEW), ("many", many)] {
        let server = world.start(name)?;
        let folder = server.state().join("artifacts");
        server.stop()?;
        fill(&folder, count)?;
    }
    let pair = || [Vec::new(), Vec::new()];
    let (mut starts, mut answers, mut calls) = (pair(), pair(), pair());
    for round in 0..world.settings.starts {
        let mut servers: [Option<Server>; 2] = [None, None];
        // Each goes first in every other round.
        for index in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let server = world.start(["few", "many"][index])?;
            starts[index].push(server.listening);
            answers[index].push(server.answering);
            servers[index] = Some(server);
        }
        let [few, many] = servers;
        let (Some(few), Some(many)) = (few, many) else { continue };
        let (request, mut clients) = (call(), [few.client()?, many.client()?]);
        for _ in 0..CALLS {
            for (client, times) in clients.iter_mut().zip(&mut calls) {
                times.push(client.call(&request)?);
            }
        }
        few.stop()?;
        many.stop()?;
    }
    let goal = || Goal::AtMost { median: 1.1, p99: None };
    let beside = format!("{FEW} artifacts");
    let row = |what: &str, [few, full]: &[Vec<_>; 2]| {
        Row::times(6, format!("{what}, {many} artifacts"), full, (&beside, few), goal())
    };
    let milliseconds = answers[1].iter().map(|time| time.as_secs_f64() * 1000.0).collect();
    let goal = Goal::Below(START_MS);
    let longest = "start until the first answer, the longest";
    Ok(vec![
        row("cached call", &calls),
        row("start until it listens", &starts),
        row("start until the first answer", &answers),
        Row::values(6, longest, Unit::Milliseconds, milliseconds, goal),
    ])
}

/// Adds artifacts to those that a server has left, as other names of the same files, until there
/// are `count`.
fn fill(folder: &Path, count: usize) -> Result<(), String> {
    let told = |e: std::io::Error| format!("{}: {e}", folder.display());
    let within = |folder: &Path| -> Result<Vec<_>, String> {
        Ok(fs::read_dir(folder).map_err(told)?.flatten().map(|found| found.path()).collect())
    };
    let mut have = Vec::new();
    // Beside the parts, the store has files about itself.
    for part in within(folder)?.into_iter().filter(|part| part.is_dir()) {
        have.extend(within(&part)?);
    }
    let one = have.first().ok_or("the server has left no artifact")?;
    let files = within(one)?;
    for number in have.len()..count {
        // As keys are, they are spread evenly over the parts.
        let (part, id) = (format!("{:02x}", number % 256), || Uuid::now_v7().simple());
        let entry = folder.join(&part).join(format!("{part}{}.{}", id(), id()));
        fs::create_dir_all(&entry).map_err(told)?;
        for file in &files {
            fs::hard_link(file, entry.join(file.file_name().unwrap_or_default())).map_err(told)?;
        }
    }
    Ok(())
}
