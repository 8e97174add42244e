//! Hostile inputs: packages, repositories, module proxies, git hosts and requests that an attacker
//! chooses, each against one real server on real islands.
//!
//! Each row of the tables is a test of its own: what is handed in, the advisory that it stands for
//! where there is one, and exactly what comes of it. After each row the server has to answer an
//! ordinary request. When all rows are done, the suite looks at what they have left: checkouts,
//! layers of the build cache, and the log.

mod bounded;
mod building;
#[path = "../e2e/case.rs"]
#[allow(dead_code)]
mod case;
#[path = "../e2e/client.rs"]
#[allow(dead_code)]
mod client;
mod directives;
mod framing;
#[path = "../support/git_repo.rs"]
#[allow(dead_code)]
mod git_repo;
mod githost;
mod left;
mod pack;
mod package;
mod packs;
mod poisoning;
mod proxy;
mod raw_repo;
mod references;
mod request;
mod row;
#[path = "../e2e/server.rs"]
#[allow(dead_code)]
mod server;
mod site;
#[path = "../support/skip.rs"]
mod skip;
mod text;
mod tree;
mod world;
mod zip;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::world::World;

/// How many rows run at a time unless `--test-threads` says otherwise.
const AT_A_TIME: usize = 4;
/// The fewest inputs that the suite has.
const INPUTS: usize = 100;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let world = match World::new() {
        Ok(world) => Arc::new(world),
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(101);
        }
    };
    let rows = rows(&world);
    if rows.len() < INPUTS {
        eprintln!("the suite has {} inputs, fewer than {INPUTS}", rows.len());
        return ExitCode::from(101);
    }
    if arguments.list {
        let all = rows.into_iter().chain(left::trials(&world)).collect();
        return libtest_mimic::run(&arguments, all).exit_code();
    }
    let rows = libtest_mimic::run(&arguments, rows);
    // The rows that a filter leaves are looked at as well.
    arguments.filter = None;
    arguments.test_threads = Some(1);
    let left = libtest_mimic::run(&arguments, left::trials(&world));
    if rows.has_failed() || left.has_failed() { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

fn rows(world: &Arc<World>) -> Vec<Trial> {
    let tables = [
        directives::trials(world),
        building::trials(world),
        bounded::trials(world),
        tree::trials(world, "tree", tree::TABLE),
        tree::trials(world, "reference", references::TABLE),
        githost::trials(world, "host", githost::TABLE),
        githost::trials(world, "pack", packs::TABLE),
        proxy::trials(world),
        text::trials(world),
        request::trials(world),
        framing::trials(world),
        poisoning::trials(world),
    ];
    tables.into_iter().flatten().collect()
}
