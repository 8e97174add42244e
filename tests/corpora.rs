//! The inputs that are kept for the fuzz targets: each target takes each of its inputs without a
//! panic. `fuzz/src` has what a target does, for this test and for `cargo fuzz` alike.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub)]
mod fuzz;

use std::fs;
use std::path::Path;

use fuzz::TARGETS;

/// The most inputs of one target, and the most bytes of an input.
const INPUTS: usize = 64;
const BYTES: usize = 4096;
/// The fewest inputs: a target without inputs tests nothing.
const FEWEST: usize = 8;

/// The inputs of a target, with their names.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut found: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn each_target_takes_each_of_its_inputs() {
    for (target, check) in TARGETS {
        let inputs = inputs(target);
        assert!((FEWEST..=INPUTS).contains(&inputs.len()), "{target}: {} inputs", inputs.len());
        for (name, bytes) in inputs {
            assert!(bytes.len() <= BYTES, "{target}/{name} has more than {BYTES} bytes");
            let checked = std::panic::catch_unwind(|| check(&bytes));
            assert!(checked.is_ok(), "fuzz/corpus/{target}/{name} breaks a promise, see above");
        }
    }
}

#[test]
fn each_prefix_of_an_input_is_taken_too() {
    for (target, check) in TARGETS {
        // These write files or ask a server for each input.
        let step = match target {
            "packs" | "trees" | "heads" => 97,
            _ => 13,
        };
        for (name, bytes) in inputs(target) {
            for end in (0..bytes.len()).step_by(step) {
                let checked = std::panic::catch_unwind(|| check(&bytes[..end]));
                assert!(checked.is_ok(), "{end} bytes of fuzz/corpus/{target}/{name}");
            }
        }
    }
}

#[test]
fn each_target_has_a_program_and_a_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.map(|it| it.trim_end_matches(".rs").into()).collect();
        names.sort();
        names
    };
    let targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}
