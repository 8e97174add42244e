//! No circle of files: what a file needs can be read before the file itself.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::Crate;
use super::sources;

/// Which file needs which, and by what name.
type Edges = BTreeMap<String, BTreeMap<String, String>>;

fn edges(loaded: &Crate) -> Edges {
    let mut edges = Edges::new();
    for (from, module) in loaded.modules.iter().enumerate() {
        for path in &module.uses {
            let Some(to) = loaded.definition(from, path) else { continue };
            let to = &loaded.modules[to].file;
            if *to != module.file {
                let needs = edges.entry(module.file.clone()).or_default();
                needs.entry(to.clone()).or_insert_with(|| path.join("::"));
            }
        }
    }
    edges
}

fn reachable<'a>(edges: &'a Edges, from: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for to in edges.get(file).into_iter().flat_map(|needs| needs.keys()) {
            if seen.insert(to.as_str()) {
                next.push(to);
            }
        }
    }
    seen
}

/// Each circle, as the edges that form it.
fn circles(edges: &Edges) -> Vec<Vec<String>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|file| (file.as_str(), reachable(edges, file))).collect();
    let together = |a: &str, b: &str| {
        let reaches = |from: &str, to: &str| reach.get(from).is_some_and(|all| all.contains(to));
        reaches(a, b) && reaches(b, a)
    };
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for start in reach.keys().filter(|file| together(file, file)) {
        let members: BTreeSet<_> = reach.keys().filter(|file| together(start, file)).collect();
        if !done.insert(members.clone()) {
            continue;
        }
        let lines = members.iter().flat_map(|from| {
            let inside = edges[**from].iter().filter(|(to, _)| members.contains(&to.as_str()));
            inside.map(move |(to, path)| format!("  {from} -> {to} ({path})"))
        });
        found.push(lines.collect());
    }
    found
}

#[test]
fn no_file_is_in_a_circle() {
    let mut report = String::new();
    for root in sources::crate_roots() {
        for circle in circles(&edges(&Crate::load(&root))) {
            report.push_str(&format!("a circle in {root}:\n{}\n", circle.join("\n")));
        }
    }
    assert!(report.is_empty(), "move what both sides need to a file of its own\n{report}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate with these files, in one text.
    fn of(files: &[(&str, &str)]) -> String {
        let read = |path: &str| {
            let file = files.iter().find(|(name, _)| path == format!("src/{name}"))?;
            Some(file.1.to_owned())
        };
        let found = circles(&edges(&Crate::parse("src/lib.rs", &read)));
        found.into_iter().map(|circle| circle.join("\n")).collect::<Vec<_>>().join("\n\n")
    }

    const TWO: &str = "  src/a.rs -> src/b.rs (super::b::B)\n  src/b.rs -> src/a.rs (";

    #[test]
    fn a_circle_of_two_is_found_however_it_is_written() {
        let root = "mod a; mod b; pub use a::A;";
        let a = "use super::b::B; pub struct A;";
        for (b, written) in [
            ("use crate::a::A;", "crate::a::A)"),
            ("use super::{a::A as Other};", "super::a::A)"),
            ("use super::A;", "super::A)"),
            ("fn f() { vec![crate::A] }", "crate::A)"),
            ("fn f(a: &crate::a::A) {}", "crate::a::A)"),
            ("mod deep { use super::super::a::*; }", "super::super::a)"),
            ("use super::a; fn f() { a::A }", "super::a)"),
        ] {
            let found = of(&[("lib.rs", root), ("a.rs", a), ("b.rs", b)]);
            assert_eq!(found, format!("{TWO}{written}"), "{b}");
        }
    }

    #[test]
    fn a_child_that_uses_its_parent_is_in_a_circle_with_it() {
        let root = "mod a; fn f() { a::g() } pub struct S;";
        let found = of(&[("lib.rs", root), ("a.rs", "use super::S; pub fn g() {}")]);
        assert_eq!(found, "  src/a.rs -> src/lib.rs (super::S)\n  src/lib.rs -> src/a.rs (a::g)");
    }

    #[test]
    fn a_re_export_that_the_facade_itself_uses_counts() {
        let root = "mod a; pub use a::A; pub trait T { fn f(&self) -> A; }";
        let found = of(&[("lib.rs", root), ("a.rs", "use crate::T; pub struct A;")]);
        assert_eq!(found, "  src/a.rs -> src/lib.rs (crate::T)\n  src/lib.rs -> src/a.rs (A)");
    }

    #[test]
    fn tests_and_re_exports_form_no_circle() {
        let root = "mod a; mod b; pub use a::A; pub use b::*;";
        let a = "use crate::b::B; pub struct A; #[cfg(test)] mod tests { use super::*; }";
        let b = "pub struct B; #[cfg(test)] use crate::A; impl B { #[test] fn f() { crate::A; } }";
        assert_eq!(of(&[("lib.rs", root), ("a.rs", a), ("b.rs", b)]), "");
    }

    #[test]
    fn a_star_is_followed_to_the_file_that_defines_the_name() {
        let root = "mod a; mod b;";
        let files = [
            ("lib.rs", root),
            ("a/mod.rs", "pub mod x; pub use x::*;"),
            ("a/x.rs", "use crate::b::B; pub struct X;"),
            ("b.rs", "use crate::a::X; pub struct B;"),
        ];
        let found = of(&files);
        assert!(found.contains("src/b.rs -> src/a/x.rs (crate::a::X)"), "{found}");
    }
}
