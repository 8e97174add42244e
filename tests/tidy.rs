//! The rules of the house that a reader can rely on; `docs/architecture.md` gives the reasons.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest source file, in lines.
const MAX_LINES: usize = 400;

/// Each part of the server's crate, and the parts that it may use. What crates may use each other is in their
/// manifests.
const EDGES: &[(&str, &[&str])] = &[
    (
        "server",
        &[
            "calls", "compile", "config", "http", "listen", "log", "metrics", "source", "state",
            "store",
        ],
    ),
    ("config", &["init", "listen", "metrics", "source"]),
    ("http", &["calls", "listen", "metrics", "store"]),
    ("listen", &[]),
    ("metrics", &[]),
    ("log", &[]),
    ("calls", &["compile", "source"]),
    ("compile", &["metrics", "source", "store"]),
    ("source", &["metrics", "store"]),
    ("store", &[]),
    ("state", &[]),
    ("init", &["state"]),
];

struct Source {
    /// Relative to the repository, with `/`.
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(&root.join("src"), &mut found);
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        collect(&entry.unwrap().path().join("src"), &mut found);
    }
    assert!(found.len() > 50, "the sources were not found");
    let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
    found
        .iter()
        .map(|path| Source { path: relative(path), text: fs::read_to_string(path).unwrap() })
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The part of the server that a file belongs to: `crates/server/src/http/error.rs` to `http`.
fn part(path: &str) -> Option<&str> {
    path.strip_prefix("crates/server/src/")?.split(['/', '.']).next()
}

/// The parts that a text names as `crate::part`, its tests left out.
fn uses(text: &str) -> BTreeSet<&str> {
    let code = text.split("\n#[cfg(test)]").next().unwrap();
    code.match_indices("crate::")
        .map(|(at, marker)| {
            let rest = &code[at + marker.len()..];
            &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
        })
        .filter(|name| EDGES.iter().any(|(part, _)| part == name))
        .collect()
}

/// Files whose text, tests left out, has `what`, and which are not in `allowed`.
fn elsewhere(what: &str, allowed: &[&str]) -> Vec<String> {
    let has = |source: &Source| source.text.split("\n#[cfg(test)]").next().unwrap().contains(what);
    let outside = |source: &Source| !allowed.iter().any(|prefix| source.path.starts_with(prefix));
    sources().into_iter().filter(|s| has(s) && outside(s)).map(|s| s.path).collect()
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "{long:?}: which noun could move out?");
}

#[test]
fn every_file_says_what_it_owns() {
    let silent: Vec<_> =
        sources().into_iter().filter(|s| !s.text.starts_with("//! ")).map(|s| s.path).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn each_part_uses_only_the_parts_below_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(from) = part(&source.path) else { continue };
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == from) else {
            assert!(from == "lib", "{} is in no part that EDGES knows", source.path);
            continue;
        };
        for to in uses(&source.text) {
            if to != from && !allowed.contains(&to) {
                wrong.push(format!("{} uses {to}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn processes_are_started_where_host_commands_are_by_the_launchers_link_and_on_tools_islands_alone()
{
    let allowed = [
        "crates/host/src/exec/host.rs",
        "crates/island/src/launcher/client.rs",
        "crates/fetch-worker/src/gocmd.rs",
        "crates/server/src/compile/replay.rs",
    ];
    assert_eq!(elsewhere("Command::new", &allowed), [""; 0]);
}

#[test]
fn status_codes_are_in_one_place() {
    assert_eq!(elsewhere("StatusCode", &["crates/server/src/http/error.rs"]), [""; 0]);
}

#[test]
fn axum_is_named_at_the_edge_alone() {
    assert_eq!(elsewhere("axum", &["crates/server/src/http/"]), [""; 0]);
}

#[test]
fn the_whole_configuration_stays_at_the_top() {
    assert_eq!(
        elsewhere(
            "config::Config",
            &[
                "crates/server/src/config.rs",
                "crates/server/src/config/",
                "crates/server/src/server.rs",
                "crates/server/src/server/",
                "src/cli/",
            ]
        ),
        [""; 0]
    );
}
