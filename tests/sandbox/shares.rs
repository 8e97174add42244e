//! That functions share the processors evenly, whatever number of processes each of them has.

use std::collections::BTreeMap;
use std::thread::available_parallelism;

use super::host::{alone, eventually, here, not_given};
use super::platform;
use super::system;

/// The spinning processes of the greedy function, for each processor.
const SPINNERS: u64 = 29;
/// The least part of a processor, in percent, that a neighbour with one thread gets. Of processes
/// that are weighed alone it would get less than four, and on a busy machine less still. With
/// groups it is two thirds of what the machine leaves to islands, where other tests run too.
const FAIR: u64 = 8;
/// How often the neighbour tries, for the machine may be busy with other work.
const TRIES: usize = 6;

#[test]
fn a_function_with_many_processes_leaves_its_neighbour_a_fair_part_of_the_processor() {
    const NAME: &str = concat!(
        module_path!(),
        "::a_function_with_many_processes_leaves_its_neighbour_a_fair_part_of_the_processor"
    );
    alone(NAME, 0, |host| {
        if let Some(why) = host.lacks("processor share") {
            return not_given("a fair part of the processor", why);
        }
        let spinners = SPINNERS * available_parallelism().map_or(1, |count| count.get() as u64);
        let mut greedy = host.function(&["spin-in-children", &spinners.to_string()]);
        greedy.setup.resources.processes = spinners + 16;
        greedy.bounds.deadline = here(platform::DEADLINE) * 10;
        let islands = host.islands.clone();
        let run = host.runtime.spawn(async move { islands.run(&greedy).await });
        eventually("all of them spin", || system::processes_of_functions() as u64 > spinners);
        let mut found = Vec::new();
        while found.len() < TRIES && found.iter().all(|percent| *percent < FAIR) {
            let answer: BTreeMap<String, u64> = host.ask(&["processor-share", "2000"]);
            found.push(answer["percent"]);
        }
        run.abort();
        assert!(found.iter().any(|percent| *percent >= FAIR), "{found:?} percent of a processor");
    });
}
