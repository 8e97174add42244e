//! Which crate depends on which: a boundary that a crate promises is a fact of the dependency
//! graph.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::sources;

/// Crates, and what they never depend on, not through another crate either.
const FORBIDDEN: &[(&str, &[&str])] = &[
    // Hostile bytes stay on islands: the server parses no pack, no zip and no page.
    ("server", &["fetch-worker", "git2", "libgit2-sys", "html5gum", "zip"]),
    ("goexpr", &["common", "fetch-job", "fetch-worker", "host", "island", "server"]),
    ("common", &["fetch-job", "fetch-worker", "goexpr", "host", "island", "server"]),
    ("fetch-job", &["common", "fetch-worker", "goexpr", "host", "island", "server"]),
    ("host", &["fetch-job", "fetch-worker", "goexpr", "island", "server", "axum", "hyper"]),
    ("island", &["fetch-job", "fetch-worker", "goexpr", "server", "axum", "hyper"]),
    ("fetch-worker", &["goexpr", "host", "island", "server", "axum", "hyper", "tokio"]),
];

/// The names of the packages that each package needs, tests' needs left out.
struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    /// `metadata` is what `cargo metadata --no-deps` writes and says what our own crates need;
    /// `lock` is Cargo.lock, and says what all others need.
    fn parse(metadata: &str, lock: &str) -> Self {
        let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
        for block in lock.split("[[package]]").skip(1) {
            let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
            let name = block.lines().find(|line| line.starts_with("name = ")).map(quoted).unwrap();
            let listed = block.lines().skip_while(|line| !line.starts_with("dependencies = ["));
            let needs = listed.skip(1).take_while(|line| !line.starts_with(']')).map(quoted);
            // A name that several versions share is followed by the version.
            let needs = needs.map(|text| text.split(' ').next().unwrap_or_default().to_owned());
            graph.entry(name).or_default().extend(needs);
        }
        let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap();
        for package in metadata["packages"].as_array().unwrap() {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|dependency| dependency["kind"] != "dev");
            let needs = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
            graph.insert(package["name"].as_str().unwrap().to_owned(), needs.collect());
        }
        Self(graph)
    }

    /// The way from one package to another.
    fn way(&self, from: &str, to: &str) -> Option<String> {
        let mut ways = vec![vec![from]];
        let mut seen = BTreeSet::from([from]);
        while let Some(way) = ways.pop() {
            let last = *way.last().unwrap();
            if last == to {
                return Some(way.join(" -> "));
            }
            for next in self.0.get(last).into_iter().flatten() {
                if seen.insert(next) {
                    ways.push([&way[..], &[next.as_str()]].concat());
                }
            }
        }
        None
    }

    fn findings(&self, forbidden: &[(&str, &[&str])]) -> Vec<String> {
        let pairs = forbidden.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
        pairs.filter_map(|(from, to)| self.way(from, to)).collect()
    }
}

fn real() -> Graph {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| env!("CARGO").to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--no-deps"])
        .current_dir(sources::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lock = sources::read("Cargo.lock").unwrap();
    Graph::parse(&String::from_utf8(output.stdout).unwrap(), &lock)
}

#[test]
fn no_crate_depends_on_what_it_promises_to_do_without() {
    let graph = real();
    for (from, _) in FORBIDDEN {
        assert!(graph.0.contains_key(*from), "there is no crate {from} any more");
    }
    assert!(graph.way("sky-island", "libgit2-sys").is_some(), "the lock file was not read");
    assert_eq!(graph.findings(FORBIDDEN), [""; 0]);
}

#[test]
fn a_dependency_through_another_crate_is_found_and_one_of_tests_is_not() {
    let metadata = r#"{"packages": [
        {"name": "server", "dependencies": [
            {"name": "middle", "kind": null}, {"name": "html5gum", "kind": "dev"}]}
    ]}"#;
    let lock = "[[package]]\nname = \"middle\"\ndependencies = [\n \"git2 0.21.0\",\n]\n\n\
        [[package]]\nname = \"git2\"\n\n\
        [[package]]\nname = \"server\"\ndependencies = [\n \"html5gum\",\n \"middle\",\n]\n";
    let found = Graph::parse(metadata, lock).findings(&[("server", &["git2", "html5gum"])]);
    assert_eq!(found, ["server -> middle -> git2"]);
}
