//! The end-to-end suite: the program as it is started, asked over HTTP, on real modules.
//!
//! Each row of the tables (`calls`, `fixture_calls`, `refusals`, `failures`) is a test of its own.
//! Tests share a server where they can; when all of its tests are done, the suite looks whether
//! anything was left behind, and ends it. The program is `SKY_ISLAND_BIN`, or the one that Cargo
//! built. `SKY_ISLAND_OFFLINE=1` skips what needs a module proxy.

#[cfg(target_os = "linux")]
mod addresses;
mod admin;
mod alone;
mod answers;
mod calls;
mod case;
mod cli;
mod client;
mod damage;
mod door;
mod failure;
mod failures;
mod fair;
mod fixture_calls;
mod gate;
mod git;
mod git_http;
#[cfg(target_os = "linux")]
mod lab;
mod leftovers;
mod logs;
mod modules;
mod numbers;
mod operate;
mod principals;
mod problem;
mod refusals;
mod reload;
mod repositories;
mod server;
#[path = "../support/skip.rs"]
mod skip;
mod snapshot;
mod tables;
mod world;
mod written;

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use crate::server::Setup;
use crate::world::World;

/// How many tests run at a time unless `--test-threads` says otherwise.
const AT_A_TIME: usize = 3;
const UNREACHABLE: &str = "neither a module proxy nor a git host can be reached: \
    set SKY_ISLAND_OFFLINE=1 to leave out the tests that need one";
/// The longest wait for the host of a repository.
const HOST_WAIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    if arguments.list {
        // A list is one list, so all tests are given at once.
        return suite().map_or_else(complain, |phases| {
            let all = phases.into_iter().flat_map(|phase| [phase.tests, phase.ending]).flatten();
            libtest_mimic::run(&arguments, all.collect()).exit_code()
        });
    }
    if let Err(problem) = server::binary() {
        return complain(problem);
    }
    if skip::network().is_ok() && !modules::proxy_answers() && !git_host_answers() {
        return complain(UNREACHABLE.to_owned());
    }
    suite().map_or_else(complain, |phases| {
        let failed = phases.into_iter().map(|phase| phase.run(&arguments));
        let failed = failed.filter(|well| !well).count();
        git::clear();
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
    })
}

fn complain(problem: String) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(101)
}

fn git_host_answers() -> bool {
    let host = calls::GEOHASH.split('/').next().unwrap_or_default();
    let addresses = (host, 443).to_socket_addrs().into_iter().flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, HOST_WAIT).is_ok())
}

/// Tests that share a server, and the ones that come after them.
struct Phase {
    tests: Vec<Trial>,
    ending: Vec<Trial>,
}

impl Phase {
    fn new(world: &Arc<World>, what: &str, tests: Vec<Trial>) -> Self {
        Self { tests, ending: world.ending(what) }
    }

    /// True if all went well. The ending is about the tests, so it is left out without them.
    fn run(self, arguments: &Arguments) -> bool {
        let tests = libtest_mimic::run(arguments, self.tests);
        if tests.num_passed + tests.num_failed == 0 {
            return true;
        }
        let mut one_by_one = arguments.clone();
        one_by_one.test_threads = Some(1);
        one_by_one.filter = None;
        let ending = libtest_mimic::run(&one_by_one, self.ending);
        !tests.has_failed() && !ending.has_failed()
    }
}

fn suite() -> Result<Vec<Phase>, String> {
    let fixtures = World::new(only_git)?;
    let modules = World::on_network(|_| Ok(Setup::new(&["git", "proxy"])))?;
    let folder = World::on_network(git::from_folder)?;
    let http = World::on_network(git::over_http)?;
    let own = [tables::of_fixtures(&fixtures), answers::trials(&fixtures), cli::trials(&fixtures)];
    let [admin_tests, admin_ending] = admin::trials();
    Ok(vec![
        Phase::new(&fixtures, "own repositories", own.into_iter().flatten().collect()),
        Phase::new(&modules, "real modules", tables::of_modules(&modules)),
        Phase::new(&folder, "git from a folder", git::trials(&folder, "git from a folder")),
        Phase::new(&http, "git over HTTP", git::trials(&http, "git over HTTP")),
        Phase { tests: alone::trials(), ending: Vec::new() },
        Phase { tests: admin_tests, ending: admin_ending },
        Phase { tests: written::trials(), ending: Vec::new() },
        Phase { tests: numbers::trials(), ending: Vec::new() },
        Phase { tests: logs::trials(), ending: Vec::new() },
        Phase { tests: principals::trials(), ending: Vec::new() },
        Phase { tests: damage::trials(), ending: Vec::new() },
        Phase { tests: door::trials(), ending: Vec::new() },
        Phase { tests: fair::trials(), ending: Vec::new() },
        Phase { tests: gate::trials(), ending: Vec::new() },
        Phase { tests: reload::trials(), ending: Vec::new() },
        #[cfg(target_os = "linux")]
        Phase { tests: addresses::trials()?, ending: Vec::new() },
    ])
}

/// Git alone, and a host that does not answer.
fn only_git(_: &Path) -> Result<Setup, String> {
    let closed = server::free_port().map_err(|e| e.to_string())?;
    Ok(Setup::new(&["git"]).mirror("closed.test", format!("http://127.0.0.1:{closed}")))
}
