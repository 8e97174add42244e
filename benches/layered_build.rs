//! What a build costs whose layers of the Go build cache are laid over each other by the kernel,
//! and by the program that the go command asks, measured in turns in one run: the first build of a
//! package, and those after it.
//!
//! Set `BENCH_BUILDS` for another number of rounds, `BENCH_STD=1` to make the layer of the whole
//! standard library as well, once each way, and `SKY_ISLAND_BIN` for another program on the
//! islands.

#[path = "../tests/build_cache/harness.rs"]
mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use harness::{Site, Way};

/// Rounds, unless it is said otherwise.
const ROUNDS: usize = 15;
const WAYS: [(&str, Way); 2] = [("mount", Way::Mount), ("program", Way::Program)];

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn main() {
    let rounds = std::env::var("BENCH_BUILDS").ok().and_then(|text| text.parse().ok());
    let rounds = rounds.unwrap_or(ROUNDS);
    let site = Site::prepare_quiet().expect("islands");
    let mut first: [Vec<Duration>; 2] = Default::default();
    let mut later: [Vec<Duration>; 2] = Default::default();
    for round in 0..rounds {
        // Each goes first in every other round, for what one leaves behind may cost the next.
        for index in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let harness = site.harness(WAYS[index].1);
            harness.fetch();
            for (number, times) in [&mut first, &mut later].into_iter().enumerate() {
                let began = Instant::now();
                harness.build(&format!("Add({number}, {round}+0)"));
                times[index].push(began.elapsed());
            }
        }
    }
    println!("{:28} {:>9} {:>9} {:>7}", "milliseconds, medians", WAYS[0].0, WAYS[1].0, "ratio");
    for (name, times) in
        [("first build of a package", &mut first), ("each one after it", &mut later)]
    {
        let [mount, program] = [0, 1].map(|index| median(&mut times[index]));
        println!("{name:28} {mount:9.1} {program:9.1} {:7.2}", program / mount);
    }
    if std::env::var_os("BENCH_STD").is_some_and(|value| value == "1") {
        let [mount, program] = WAYS.map(|(_, way)| {
            let harness = site.harness(way);
            let began = Instant::now();
            harness.warm();
            began.elapsed().as_secs_f64() * 1000.0
        });
        println!("{:28} {mount:9.1} {program:9.1} {:7.2}", "the standard library", program / mount);
    }
    site.close();
}
