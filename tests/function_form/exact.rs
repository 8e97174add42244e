//! The exact way, without any part of the project: one program in which every call stands as it is,
//! compiled by the go command.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use goexpr::Call;

use crate::support::{TempDir, go};
use crate::{Answer, Module};

/// Packages of the standard library that calls may name.
const LIBRARY: [&str; 3] = ["time", "unsafe", "reflect"];

/// What Go's compiler makes of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Values,
    Statement,
    Refused,
}

/// What each call answers, or nothing if Go's compiler refuses it.
pub fn answers(module: &Module, calls: &[String]) -> Vec<Option<Answer>> {
    let folder = TempDir::new();
    let root = folder.path();
    let path = &module.path;
    copy(module, &root.join("module"));
    let go_mod =
        format!("module exact\n\ngo 1.21\n\nrequire {path} v0.0.0\nreplace {path} => ./module\n");
    fs::write(root.join("go.mod"), go_mod).unwrap();
    let mut forms = vec![Form::Values; calls.len()];
    // The compiler does not find all faults at once.
    loop {
        fs::write(root.join("main.go"), main_go(module, calls, &forms, true)).unwrap();
        let diagnostics = diagnostics(&build(root).err().unwrap_or_default());
        if diagnostics.is_empty() {
            break;
        }
        for (number, diagnostics) in diagnostics {
            let no_value =
                diagnostics.iter().all(|line| line.ends_with("(no value) used as value"));
            forms[number] = match forms[number] {
                Form::Values if no_value => Form::Statement,
                _ => Form::Refused,
            };
        }
    }
    fs::write(root.join("main.go"), main_go(module, calls, &forms, false)).unwrap();
    build(root).unwrap_or_else(|stderr| panic!("{stderr}"));
    let run = |(number, form): (usize, &Form)| (*form != Form::Refused).then(|| run(root, number));
    forms.iter().enumerate().map(run).collect()
}

/// Copies a module's source, with a go.mod if it has none.
fn copy(module: &Module, into: &Path) {
    let copied = Command::new("cp").arg("-R").arg(&module.source).arg(into).status();
    assert!(copied.is_ok_and(|status| status.success()), "{}", module.source.display());
    let writable = Command::new("chmod").args(["-R", "u+w"]).arg(into).status();
    assert!(writable.is_ok_and(|status| status.success()), "{}", into.display());
    let go_mod = into.join("go.mod");
    if !go_mod.exists() {
        fs::write(go_mod, format!("module {}\n", module.path)).unwrap();
    }
}

/// A program that makes the call whose number is its argument. In diagnostics each call is in a file
/// of its own; when it runs it is where the server would say that it is.
fn main_go(module: &Module, calls: &[String], forms: &[Form], apart: bool) -> String {
    let mut imports = BTreeSet::new();
    let mut cases = String::new();
    for (number, (call, form)) in calls.iter().zip(forms).enumerate() {
        let file = if apart { format!("call{number}") } else { "call".into() };
        let directive = format!("/*line /{file}:1:1*/");
        let _ = match form {
            Form::Values => {
                write!(cases, "\tcase \"{number}\":\n\t\tsky_fmt.Print(\n{directive}{call})\n")
            }
            Form::Statement => write!(cases, "\tcase \"{number}\":\n{directive}{call}\n"),
            Form::Refused => continue,
        };
        let parsed = Call::parse(call).unwrap_or_else(|error| panic!("{call}: {error}"));
        let named = parsed.packages().keys().map(String::as_str);
        imports.extend(named.filter_map(|name| LIBRARY.into_iter().find(|known| *known == name)));
    }
    let imports: String = imports.iter().map(|name| format!("\t\"{name}\"\n")).collect();
    format!(
        "//go:build go1.26\n\npackage main\n\nimport (\n\tsky_fmt \"fmt\"\n\tsky_os \"os\"\n{imports}\t. \"{}\"\n)\n\n\
         var _ = sky_fmt.Print\n\nfunc main() {{\n\tswitch sky_os.Args[1] {{\n{cases}\t}}\n}}\n",
        module.package
    )
}

/// The lines of message about each call.
fn diagnostics(stderr: &str) -> BTreeMap<usize, Vec<String>> {
    let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for line in stderr.lines() {
        let number = line.split_once("call").and_then(|(_, rest)| rest.split(':').next());
        match number.and_then(|number| number.parse().ok()) {
            Some(number) => found.entry(number).or_default().push(line.to_owned()),
            // A header, or more about the line before.
            None => assert!(line.starts_with("# ") || line.starts_with('\t'), "{stderr}"),
        }
    }
    found
}

fn build(root: &Path) -> Result<(), String> {
    let output = Command::new(go())
        .args(["build", "-trimpath", "-gcflags=-e", "-o", "exact", "."])
        .current_dir(root)
        .env("GOCACHE", std::env::temp_dir().join("sky-test-gocache"))
        .envs([("GOFLAGS", "-mod=mod"), ("GOPROXY", "off"), ("GOSUMDB", "off"), ("GOWORK", "off")])
        .envs([("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")])
        .output()
        .expect("the go command runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

fn run(root: &Path, number: usize) -> Answer {
    let output = Command::new(root.join("exact"))
        .arg(number.to_string())
        .stdin(Stdio::null())
        .env_clear()
        .current_dir("/")
        .output()
        .expect("the program runs");
    Answer { stdout: output.stdout, status: output.status.code().expect("a status") }
}
