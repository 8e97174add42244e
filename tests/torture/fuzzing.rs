//! The fuzz targets, one after another, for a share of the time each. What a target finds is left
//! in `fuzz/artifacts`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::plan::Plan;

/// The longest that one input may take, in seconds, and the most memory of a target, in MiB.
const LONGEST: u32 = 20;
const MEMORY: u32 = 4096;
/// Where new inputs of a run go; the kept ones are not changed.
const FOUND: &str = "target/found";

pub(crate) fn run(plan: &Plan) -> Result<Outcome, String> {
    let Some(time) = plan.fuzzing else {
        return Ok(Outcome::Skipped("the corpora are a test of their own (corpora)".to_owned()));
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for command in [&["+nightly", "--version"][..], &["fuzz", "--version"]] {
        if !cargo(&root, command).output().is_ok_and(|output| output.status.success()) {
            let why = match command[0] {
                "fuzz" => "cargo-fuzz is not here (cargo install cargo-fuzz --locked)",
                _ => "the nightly toolchain is not here (rustup toolchain install nightly)",
            };
            return Ok(Outcome::Skipped(why.to_owned()));
        }
    }
    let mut targets: Vec<String> = std::fs::read_dir(root.join("corpus"))
        .map_err(|error| format!("no corpora: {error}"))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    targets.sort();
    let built = cargo(&root, &["+nightly", "fuzz", "build", "--sanitizer", "none"]).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("the targets cannot be built, see above".to_owned());
    }
    let share = (time.as_secs() / targets.len() as u64).max(1);
    let mut inputs = 0;
    for target in &targets {
        let found = root.join(FOUND).join(target);
        std::fs::create_dir_all(&found).map_err(|error| error.to_string())?;
        let kept = root.join("corpus").join(target);
        let limits = [
            format!("-max_total_time={share}"),
            format!("-timeout={LONGEST}"),
            format!("-rss_limit_mb={MEMORY}"),
            "-print_final_stats=1".to_owned(),
        ];
        let mut command = cargo(&root, &["+nightly", "fuzz", "run", "--sanitizer", "none", target]);
        command.args([&found, &kept]).arg("--").args(limits).stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let tail: Vec<&str> = text.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            return Err(format!("{target} found something:\n{}", tail.join("\n")));
        }
        let count =
            text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        inputs += count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    let count = targets.len();
    Ok(Outcome::Passed(format!("{count} targets, {share} s each, {inputs} inputs, nothing found")))
}

/// cargo in the folder of the targets, with the toolchain that its first word names.
fn cargo(root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    // What cargo set for this test would be another toolchain's.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command.args(words).current_dir(root);
    command
}
