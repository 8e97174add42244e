//! The bench: what calls cost beside what they are compared with, measured in turns in one run, as
//! a table and as JSON.
//!
//! `make bench` runs it; docs/performance.md says what each figure means, `settings` what can be
//! chosen. It speaks over loopback (figure 5 also with the module proxy), ends only what it
//! started, and leaves nothing.

mod blocks;
mod cached;
mod client;
mod first;
mod greedy;
mod hand;
mod interrupt;
mod load;
mod machine;
mod process;
mod report;
mod sandboxes;
mod saturated;
mod server;
mod settings;
mod store;
mod world;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Instant;

use report::Row;
use settings::Settings;
use world::{Absent, World};

type Measure = fn(&World) -> Result<Vec<Row>, Absent>;

/// The figures, by their numbers.
const FIGURES: [(u8, Measure); 9] = [
    (1, blocks::beside_a_spawn),
    (2, cached::new_arguments),
    (3, saturated::saturated),
    (4, first::of_a_function),
    (5, first::of_a_module),
    (6, store::many_artifacts),
    (7, load::many_clients),
    (8, load::idle),
    (9, greedy::beside_a_greedy_client),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("sky-island: the bench cannot run: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints; whether nothing broke. A goal that is missed is a result.
fn run() -> Result<bool, String> {
    let began = Instant::now();
    let world = World::make(Settings::read()?)?;
    let (mut rows, mut missing, mut whole) = (Vec::new(), Vec::new(), true);
    world.server()?;
    let machine = machine::describe(&world)?;
    for (figure, measure) in FIGURES.iter().filter(|(figure, _)| world.settings.wants(*figure)) {
        eprintln!("figure {figure}, after {:.0} s", began.elapsed().as_secs_f64());
        match measure(&world) {
            Ok(measured) => rows.extend(measured),
            Err(Absent::Skipped(why)) => missing.push((*figure, why)),
            Err(Absent::Broke(why)) => {
                missing.push((*figure, why));
                whole = false;
            }
        }
    }
    world.close()?;
    println!("{}", report::print(&machine, &rows, &missing));
    Ok(whole)
}
