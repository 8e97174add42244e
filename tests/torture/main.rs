//! Torture: the program at the ends of what a host can do to it. Each part is a row of the table
//! that is printed at the end, and the run fails where a row does.
//!
//! `SKY_ISLAND_TORTURE=full` is the long form (`make torture`), anything else the short one of
//! `make test`. `SKY_ISLAND_TORTURE_PARTS=crashes,soak` runs these parts alone. Load goes to
//! loopback only, and each part is bounded in time and count by `plan.rs`.

mod audit;
#[path = "../e2e/case.rs"]
#[allow(dead_code)]
mod case;
#[path = "../e2e/client.rs"]
#[allow(dead_code)]
mod client;
mod crashes;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod disks;
mod fuzzing;
#[path = "../support/git_repo.rs"]
#[allow(dead_code)]
mod git_repo;
#[path = "../e2e/leftovers.rs"]
#[allow(dead_code)]
mod leftovers;
mod load;
mod plan;
#[path = "../e2e/repositories.rs"]
#[allow(dead_code)]
mod repositories;
#[path = "../e2e/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../support/skip.rs"]
mod skip;
mod soak;
mod world;

mod handover {
    #[path = "../../handover/client.rs"]
    #[allow(dead_code)]
    mod client;
    #[path = "../../handover/host.rs"]
    #[allow(dead_code)]
    mod host;
    #[path = "../../handover/load.rs"]
    mod load;
    pub(crate) mod often;
}

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use plan::Plan;

/// What a part found.
pub(crate) enum Outcome {
    /// All was well: what was done how often.
    Passed(String),
    /// It was not done, and why.
    Skipped(String),
}

/// A part: done by a plan, or failed for a reason.
type Part = fn(&Plan) -> Result<Outcome, String>;

/// All parts, in the order in which they run.
const PARTS: &[(&str, &str, Part)] = &[
    ("fuzzing", "fuzz targets", fuzzing::run),
    ("crashes", "kill -9 under load, and an audit after each", crashes::run),
    #[cfg(target_os = "linux")]
    ("descriptors", "the k-th descriptor fails, for every k", descriptors::run),
    #[cfg(target_os = "linux")]
    ("full", "full disk", disks::full),
    #[cfg(target_os = "linux")]
    ("readonly", "read-only disk", disks::read_only),
    ("handovers", "hand-overs under load", handover::often::run),
    ("soak", "soak", soak::run),
];

fn main() -> ExitCode {
    // Cargo passes the words of `make test TEST=...` to every program.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|word| word == "--list") {
        PARTS.iter().for_each(|(name, ..)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if !cfg!(target_os = "linux") {
        skip::skip("torture", &skip::Reason::impossible("only Linux's /proc shows what is left"));
        return ExitCode::SUCCESS;
    }
    let words = arguments.iter().filter(|word| !word.starts_with('-'));
    let mut chosen: Vec<String> = words.cloned().collect();
    let named = std::env::var("SKY_ISLAND_TORTURE_PARTS").unwrap_or_default();
    chosen.extend(named.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
    let plan = Plan::of_environment();
    audit::adopt_orphans();
    let begun = Instant::now();
    let mut rows = Vec::new();
    for &(name, what, part) in PARTS {
        if !chosen.is_empty() && !chosen.iter().any(|word| name.contains(&**word)) {
            continue;
        }
        println!("torture: {what} ...");
        let begun = Instant::now();
        let result = catch_unwind(|| part(&plan));
        let result = result.unwrap_or_else(|_| Err("the part panicked, see above".to_owned()));
        rows.push((what, begun.elapsed(), result));
    }
    print(&plan, &rows);
    let count = |is: fn(&Result<Outcome, String>) -> bool| {
        rows.iter().filter(|(.., result)| is(result)).count()
    };
    let failed = count(Result::is_err);
    // As the tests' own harness says it, so that scripts/test.sh counts it.
    println!(
        "\ntest result: {}. {} passed; {failed} failed; {} ignored; 0 measured; 0 filtered out; finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        count(|result| matches!(result, Ok(Outcome::Passed(_)))),
        count(|result| matches!(result, Ok(Outcome::Skipped(_)))),
        begun.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Row = (&'static str, std::time::Duration, Result<Outcome, String>);

fn print(plan: &Plan, rows: &[Row]) {
    println!("\n| torture ({}) | seconds | result | what was done |", plan.name);
    println!("|---|---|---|---|");
    for (what, took, result) in rows {
        let (word, text) = match result {
            Ok(Outcome::Passed(text)) => ("passed", text),
            Ok(Outcome::Skipped(why)) => ("skipped", why),
            Err(error) => ("FAILED", error),
        };
        let text = text.lines().next().unwrap_or_default();
        println!("| {what} | {:.0} | {word} | {text} |", took.as_secs_f64());
    }
    for (what, _, result) in rows {
        if let Err(error) = result {
            println!("\nFAILED: {what}\n{error}");
        }
    }
}
