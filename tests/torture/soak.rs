//! A load for some time: what the server uses is bounded meanwhile, and back at its first level
//! when the server has come to rest.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::leftovers::Traces;
use crate::load::Load;
use crate::plan::Plan;
use crate::world::{KNOWN, World, answers, known, new_build, new_fetch};

/// Branches to fetch.
const BRANCHES: usize = 24;
/// How long the server is under load before its level is taken: pools and allocators fill.
const FIRST: Duration = Duration::from_secs(5);
/// How often its use is read.
const EACH: Duration = Duration::from_millis(250);
/// The most that a server under this load may use.
const MOST: Use = Use { memory: 512 << 10, descriptors: 512, threads: 160 };
/// How much above its first level a server at rest may be: memory KiB that the allocator keeps,
/// and what a last connection or a thread of the runtime's pool still has.
const SLACK: Use = Use { memory: 48 << 10, descriptors: 4, threads: 4 };
/// The longest until the server is back.
const BACK: Duration = Duration::from_secs(30);

/// What a process uses: KiB of memory, and numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Use {
    memory: u64,
    descriptors: u64,
    threads: u64,
}

pub(crate) fn run(plan: &Plan) -> Result<Outcome, String> {
    let world = World::new(BRANCHES)?;
    let server = world.start()?;
    answers(&server.client, &known(), KNOWN.2)?;
    let load = Load::begin(&server.client, BRANCHES);
    sleep(FIRST);
    let first = load.end();
    let islands = Traces::at_rest(&server)?.permanent();
    let level = Use::of(server.pid())?;
    let load = Load::begin(&server.client, BRANCHES);
    let begun = Instant::now();
    let mut most = level;
    while begun.elapsed() < plan.soak {
        let now = Use::of(server.pid())?;
        most = most.most(now);
        if !now.within(MOST) {
            return Err(format!("under load the server uses {now:?}, and {MOST:?} is the most"));
        }
        sleep(EACH);
    }
    let mut counts = load.end();
    counts.wrong.extend(first.wrong);
    if !counts.wrong.is_empty() || counts.unanswered > 0 {
        let (count, wrong) = (counts.unanswered, counts.wrong);
        return Err(format!("{count} requests had no answer, and these a wrong one: {wrong:#?}"));
    }
    Traces::at_rest(&server)?.no_more_than(&islands)?;
    let bound = level.plus(SLACK);
    let rest = Instant::now();
    let last = loop {
        let now = Use::of(server.pid())?;
        if now.within(bound) {
            break now;
        }
        if rest.elapsed() > BACK {
            return Err(format!("at rest the server uses {now:?}; before the load {level:?}"));
        }
        sleep(EACH);
    };
    let (fields, text) = new_build(99_999);
    answers(&server.client, &fields, &text)?;
    let (fields, text) = new_fetch(0);
    answers(&server.client, &fields, &text)?;
    server.stop_well()?;
    Ok(Outcome::Passed(format!(
        "{} answers, {} busy; before, most, after: {}, {}, {} MiB; {}, {}, {} descriptors; {}, {}, {} threads",
        counts.right,
        counts.busy,
        level.memory >> 10,
        most.memory >> 10,
        last.memory >> 10,
        level.descriptors,
        most.descriptors,
        last.descriptors,
        level.threads,
        most.threads,
        last.threads,
    )))
}

impl Use {
    fn of(process: u32) -> Result<Self, String> {
        let status = fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.map_err(|error| format!("the server is gone: {error}"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
        let missing = || format!("no such field in {status}");
        Ok(Self {
            memory: field("VmRSS:").ok_or_else(missing)?,
            descriptors: descriptors as u64,
            threads: field("Threads:").ok_or_else(missing)?,
        })
    }

    fn within(self, bound: Self) -> bool {
        self.memory <= bound.memory
            && self.descriptors <= bound.descriptors
            && self.threads <= bound.threads
    }

    fn most(self, other: Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            memory: self.memory + other.memory,
            descriptors: self.descriptors + other.descriptors,
            threads: self.threads + other.threads,
        }
    }
}
