//! A state directory on a disk that is full, or read-only: during calls, builds and fetches, at the
//! start and at the stop. An answer is right or a failure of the host's, the log has the reason,
//! no failure is kept, and all is well again when there is room.

use std::thread;

use serde_json::Value;

use crate::Outcome;
use crate::disk::Disk;
use crate::plan::Plan;
use crate::server::{POLL, Server};
use crate::skip::{self, skip};
use crate::world::{KNOWN, World, answers, call, known, new_build, new_fetch};

/// Branches to fetch.
const BRANCHES: usize = 64;
/// What a log says of a full disk, and of a read-only one.
const FULL: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";

pub(crate) fn full(plan: &Plan) -> Result<Outcome, String> {
    let room = plan.room;
    as_root("a full disk", move || full_disk(room))
}

pub(crate) fn read_only(_: &Plan) -> Result<Outcome, String> {
    as_root("a read-only disk", read_only_disk)
}

/// Runs a part that mounts, in a thread that has its own mounts.
fn as_root(
    what: &str,
    part: impl FnOnce() -> Result<Outcome, String> + Send + 'static,
) -> Result<Outcome, String> {
    if let Err(why) = skip::root() {
        skip(what, &why);
        return Ok(Outcome::Skipped("only root can mount a disk".to_owned()));
    }
    thread::spawn(part).join().unwrap_or_else(|_| Err("the part panicked, see above".to_owned()))
}

fn full_disk(room: &[u64]) -> Result<Outcome, String> {
    let world = World::new(BRANCHES)?;
    let disk = Disk::new(&world.state())?;
    let mut server = world.start()?;
    answers(&server.client, &known(), KNOWN.2)?;
    let mut met = Met::default();
    for (number, free) in room.iter().enumerate() {
        let at = |error: String| format!("with {free} bytes free: {error}");
        disk.fill(*free)?;
        let wanted =
            [(known(), KNOWN.2.to_owned()), new_build(1000 + number), new_fetch(number % BRANCHES)];
        for (fields, text) in &wanted {
            met.ask(&server, fields, text, FULL).map_err(at)?;
        }
        // The server ends, and starts, without room too; or says why it cannot.
        server.stop().map_err(at)?;
        let started = world.start();
        disk.empty()?;
        server = match started {
            Ok(server) => server,
            Err(error) if error.contains(FULL) => {
                met.refused += 1;
                world.start().map_err(at)?
            }
            Err(error) => return Err(at(format!("no start, and no reason: {error}"))),
        };
        for (fields, text) in &wanted {
            let again = answers(&server.client, fields, text);
            again.map_err(|error| at(format!("kept after there was room: {error}")))?;
        }
        // What failed without a restart between must be right at once as well.
        disk.fill(*free)?;
        let (fields, text) = new_build(2000 + number);
        met.ask(&server, &fields, &text, FULL).map_err(at)?;
        disk.empty()?;
        answers(&server.client, &fields, &text)
            .map_err(|error| at(format!("kept after there was room: {error}")))?;
    }
    server.stop_well()?;
    Ok(Outcome::Passed(format!(
        "{} levels of free space; {} right answers, {} failures of the host's, each with its reason in the log; none kept",
        room.len(),
        met.right,
        met.refused
    )))
}

fn read_only_disk() -> Result<Outcome, String> {
    let world = World::new(BRANCHES)?;
    let disk = Disk::new(&world.state())?;
    let server = world.start()?;
    answers(&server.client, &known(), KNOWN.2)?;
    let mut met = Met::default();
    // While a server runs, the kernel may refuse because of a file that is open for writing.
    let running = match disk.set_writable(false) {
        Ok(()) => {
            for (fields, text) in [(known(), KNOWN.2.to_owned()), new_build(1), new_fetch(1)] {
                met.ask(&server, &fields, &text, READ_ONLY)?;
            }
            disk.set_writable(true).map_err(|e| e.to_string())?;
            "under a running server and "
        }
        Err(_) => "(the kernel keeps a disk with open files writable) ",
    };
    for (fields, text) in [new_build(1), new_fetch(1)] {
        answers(&server.client, &fields, &text)?;
    }
    server.stop_well()?;
    drop(server);
    disk.set_writable(false).map_err(|error| format!("the disk stays writable: {error}"))?;
    match world.start() {
        Err(error) if error.contains(READ_ONLY) => {}
        Err(error) => return Err(format!("no start, and no reason: {error}")),
        Ok(_) => return Err("a server started whose state cannot be written".to_owned()),
    }
    disk.set_writable(true).map_err(|e| e.to_string())?;
    let server = world.start()?;
    answers(&server.client, &known(), KNOWN.2)?;
    server.stop_well()?;
    Ok(Outcome::Passed(format!(
        "{running}at the start, which names the reason; {} right answers, {} failures of the host's",
        met.right, met.refused
    )))
}

/// The answers on a disk that cannot be written.
#[derive(Default)]
struct Met {
    right: usize,
    refused: usize,
}

impl Met {
    /// A call, whose failure has to be the host's, with the reason in the log from then on.
    fn ask(
        &mut self,
        server: &Server,
        fields: &Value,
        text: &str,
        reason: &str,
    ) -> Result<(), String> {
        let before = server.log().len();
        let answer = call(&server.client, fields)?;
        match answer.status {
            200 if answer.json()?["data"] == text => self.right += 1,
            500 | 503 => {
                self.refused += 1;
                // The log has it at the time of the answer, or a moment later.
                let mut looks = 0..20;
                while !server.log().get(before..).is_some_and(|log| log.contains(reason)) {
                    if looks.next().is_none() {
                        let log = server.log().split_off(before);
                        return Err(format!("{fields}: {answer}, without {reason:?} in {log}"));
                    }
                    thread::sleep(POLL);
                }
            }
            _ => return Err(format!("{fields} was answered {answer}")),
        }
        Ok(())
    }
}
