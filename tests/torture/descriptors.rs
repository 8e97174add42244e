//! The k-th descriptor that a process wants is refused, for every k: of the server, and of each of
//! its launchers. A call is then answered right or with a failure of the host's, and the call after
//! it, with descriptors again, is answered right.

use std::fs;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::libc::{RLIMIT_NOFILE, prlimit, rlimit};

use crate::Outcome;
use crate::client::Client;
use crate::leftovers::processes_below;
use crate::plan::Plan;
use crate::server::POLL;
use crate::world::{KNOWN, World, answers, call, known, new_build, new_fetch};

/// What a process may have after each round.
const ENOUGH: u64 = 4096;
/// The longest that a process is without descriptors.
const REFUSING: Duration = Duration::from_secs(3);
/// Branches to fetch, one a round.
const BRANCHES: usize = 160;

pub(crate) fn run(plan: &Plan) -> Result<Outcome, String> {
    let world = World::new(BRANCHES)?;
    let server = world.start()?;
    answers(&server.client, &known(), KNOWN.2)?;
    let children = processes_below(server.pid());
    let launchers: Vec<u32> =
        children.into_iter().filter(|process| is_launcher(*process)).collect();
    let mut counts = Counts::default();
    for process in [server.pid()].into_iter().chain(launchers.iter().copied()) {
        for more in (0..plan.descriptors).step_by(plan.step) {
            let open = fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
            limit(process, (open + more) as u64)?;
            let (client, number) = (server.client.clone(), counts.rounds);
            let calls = thread::spawn(move || Counts::round(&client, number));
            // A server that cannot accept a connection lets it wait.
            let begun = Instant::now();
            while !calls.is_finished() && begun.elapsed() < REFUSING {
                sleep(POLL);
            }
            limit(process, ENOUGH)?;
            let met = calls.join().unwrap_or_else(|_| Err("a client panicked".to_owned()));
            let recovers = met
                .map(|met| counts.add(&met))
                .and_then(|()| answers(&server.client, &known(), KNOWN.2));
            recovers.map_err(|error| {
                let who = if process == server.pid() { "the server" } else { "a launcher" };
                format!("{who} with {more} descriptors more than the {open} it has: {error}")
            })?;
        }
    }
    server.stop_well()?;
    let Counts { rounds, right, refused } = counts;
    let processes = launchers.len() + 1;
    Ok(Outcome::Passed(format!(
        "{rounds} rounds, {processes} processes; {right} right answers, {refused} failures of the host's, 0 of the caller's"
    )))
}

#[derive(Default)]
struct Counts {
    rounds: usize,
    right: usize,
    refused: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.right += other.right;
        self.refused += other.refused;
    }

    /// A cached call, a build and a fetch.
    fn round(client: &Client, number: usize) -> Result<Self, String> {
        let mut counts = Self { rounds: 1, ..Self::default() };
        let known = (known(), KNOWN.2.to_owned());
        for (fields, text) in [known, new_build(number), new_fetch(number % BRANCHES)] {
            // A server without a descriptor cannot accept; the connection waits or is closed.
            let Ok(answer) = call(client, &fields) else {
                counts.refused += 1;
                continue;
            };
            match answer.status {
                200 if answer.json()?["data"] == text => counts.right += 1,
                429 | 500..=504 => counts.refused += 1,
                _ => return Err(format!("{fields} was answered {answer}")),
            }
        }
        Ok(counts)
    }
}

/// Sets the soft limit of descriptors of a process.
fn limit(process: u32, descriptors: u64) -> Result<(), String> {
    let mut now = rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both pointers are to values that live until the call returns, or null.
    let got = unsafe { prlimit(process.cast_signed(), RLIMIT_NOFILE, std::ptr::null(), &mut now) };
    let new = rlimit { rlim_cur: descriptors.min(now.rlim_max), ..now };
    // SAFETY: likewise.
    let set = unsafe { prlimit(process.cast_signed(), RLIMIT_NOFILE, &new, std::ptr::null_mut()) };
    let error = std::io::Error::last_os_error();
    // A launcher that could not go on has ended, and the server has another one.
    if got == 0 && set == 0 || error.raw_os_error() == Some(nix::libc::ESRCH) {
        return Ok(());
    }
    Err(format!("no limit for process {process}: {error}"))
}

fn is_launcher(process: u32) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"launcher")
}
