//! Calls in the function form against the same calls as they stand: what both print, and how both
//! end.
//!
//! The function form is built and run as the server does it. The exact form is compiled by the go
//! command alone, with many calls in one program. A call that Go's compiler refuses must have no
//! answer in the function form either. `FORM_SEED` varies the random packages; a failure prints the
//! seed.
#![allow(missing_docs)]

mod calls;
mod exact;
mod lab;
mod random;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{Fast, Lab};
use support::skip;

/// A module whose source lies in a folder, and the package in it that is called.
pub struct Module {
    pub path: String,
    pub package: String,
    pub source: PathBuf,
}

impl Module {
    fn at(path: &str, source: PathBuf) -> Self {
        Self { path: path.into(), package: path.into(), source }
    }
}

/// What a call prints, and the status with which it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub stdout: Vec<u8>,
    pub status: i32,
}

/// How many calls came out how.
#[derive(Debug, Default)]
struct Comparison {
    same: usize,
    refused: usize,
    /// Calls that compile, but not in the function form.
    exact: Vec<String>,
}

/// Makes calls both ways. Everything that differs is told at once.
fn compare(lab: &Lab, module: &Module, calls: &[String]) -> Comparison {
    let mut compared = Comparison::default();
    let mut different = Vec::new();
    let found = lab.call_all(&module.package, calls);
    for ((call, expected), found) in calls.iter().zip(exact::answers(module, calls)).zip(found) {
        match (found, expected) {
            (Fast::Answer(found), Some(expected)) if found == expected => compared.same += 1,
            (Fast::None | Fast::Unrepresentable, Some(_)) => compared.exact.push(call.clone()),
            (Fast::None | Fast::Unrepresentable | Fast::Refused(_), None) => compared.refused += 1,
            (found, expected) => different.push(format!("{call}\n  {found:?}\n  {expected:?}")),
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    compared
}

fn lab(modules: &[Module]) -> Option<Lab> {
    match Lab::open(modules) {
        Ok(lab) => Some(lab),
        Err(why) => {
            skip::skip("any call on an island", &skip::islands(why));
            None
        }
    }
}

fn nasty() -> Module {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nasty");
    Module::at("example.com/nasty", source)
}

fn texts<'a>(table: impl IntoIterator<Item = &'a (&'a str, &'a [&'a str])>) -> Vec<String> {
    let of = |(function, arguments): &(&str, &[&str])| {
        arguments.iter().map(|arguments| format!("{function}({arguments})")).collect::<Vec<_>>()
    };
    table.into_iter().flat_map(of).collect()
}

#[test]
fn parameters_that_are_hard_to_give_values_to_get_the_same_ones() {
    let module = nasty();
    let Some(lab) = lab(std::slice::from_ref(&module)) else { return };
    let calls = texts(calls::NASTY);
    assert!(calls.len() >= 300 && calls::NASTY.len() >= 20, "{} calls", calls.len());
    let compared = compare(&lab, &module, &calls);
    println!("{} same, {} refused", compared.same, compared.refused);
    assert_eq!(compared.exact, calls::EXACT, "what only the exact form can do");
    assert!(compared.same >= 200 && compared.refused >= 50, "{compared:?}");
}

#[test]
fn what_the_function_form_cannot_do_the_exact_form_answers() {
    let module = nasty();
    let Some(lab) = lab(std::slice::from_ref(&module)) else { return };
    for (call, message) in [
        ("Ints(1, 128, 3, 4, 5)", "cannot use 128 (untyped int constant) as int8 value"),
        (
            "Ints(1.5, 2, 3, 4, 5)",
            "(untyped float constant) as int value in argument to Ints (truncated)",
        ),
        ("Two(\"a\")", "cannot use \"a\" (untyped string constant) as int value"),
    ] {
        assert_eq!(lab.call(&module.package, call), Fast::Unrepresentable, "{call}");
        match lab.exact(&module.package, call) {
            Fast::Refused(text) => assert!(text.contains(message), "{call}: {text}"),
            other => panic!("{call}: {other:?}"),
        }
        // The next time the program is not asked again.
        assert!(matches!(lab.call(&module.package, call), Fast::Refused(_)), "{call}");
    }
    let call = "Keys(map[any]int{[1]int{1}: 1, [1]int{1}: 2}, nil, nil)";
    assert_eq!(lab.call(&module.package, call), Fast::Unrepresentable);
    let Fast::Answer(answer) = lab.exact(&module.package, call) else { panic!("{call}") };
    assert!(answer.stdout.starts_with(b"int 1; int 0; "), "{answer:?}");
    assert_eq!(lab.call(&module.package, call), Fast::None, "the exact program is known");
}

#[test]
fn functions_of_real_modules_answer_the_same() {
    if support::offline("functions of real modules") {
        return;
    }
    let modules: Vec<Module> = calls::REAL.iter().map(|real| download(real.0, real.1)).collect();
    let Some(lab) = lab(&modules) else { return };
    let (mut same, mut functions) = (0, 0);
    for (module, (_, _, table)) in modules.iter().zip(calls::REAL) {
        let compared = compare(&lab, module, &texts(*table));
        assert_eq!(compared.exact, [""; 0], "{}", module.path);
        same += compared.same;
        functions += table.len();
    }
    assert!(functions >= 20 && same >= 60, "{same} calls of {functions} functions");
}

/// A module from the proxy, with what a module needs where it has none.
fn download(path: &str, version: &str) -> Module {
    let output = Command::new(support::go())
        .args(["mod", "download", "-json", &format!("{path}@{version}")])
        .current_dir(std::env::temp_dir())
        .envs([("GOFLAGS", "-mod=mod"), ("GOWORK", "off")])
        .output()
        .expect("the go command runs");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("an answer");
    let source = answer["Dir"].as_str().unwrap_or_else(|| panic!("no folder in {answer}"));
    Module::at(path, source.into())
}

#[test]
fn random_values_reach_random_parameters() {
    let seed = std::env::var("FORM_SEED").map_or(20_261_121, |text| text.parse().expect("a seed"));
    let folder = support::TempDir::new();
    let (source, calls) = random::package(seed);
    std::fs::write(folder.path().join("go.mod"), "module example.com/random\n\ngo 1.21\n").unwrap();
    std::fs::write(folder.path().join("random.go"), source).unwrap();
    let dump = include_str!("../fixtures/nasty/dump.go").replace("package nasty", "package random");
    std::fs::write(folder.path().join("dump.go"), dump).unwrap();
    let module = Module::at("example.com/random", folder.path().into());
    let Some(lab) = lab(std::slice::from_ref(&module)) else { return };
    println!("FORM_SEED={seed}");
    let compared = compare(&lab, &module, &calls);
    println!("{} same, {} refused, {:?} exact", compared.same, compared.refused, compared.exact);
    assert!(compared.same > calls.len() / 2, "{compared:?}");
    assert!(compared.exact.len() * 20 < calls.len(), "{:?} need the exact form", compared.exact);
}
