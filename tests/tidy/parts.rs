//! The parts of the server's crate, and which part may use which.

use std::collections::BTreeSet;

use super::modules::Crate;

/// Each part, and the parts that it may use.
const EDGES: &[(&str, &[&str])] = &[
    (
        "serve",
        &[
            "calls", "compile", "config", "http", "listen", "log", "metrics", "source", "state",
            "store",
        ],
    ),
    ("config", &["init", "listen", "metrics", "source"]),
    ("http", &["calls", "listen", "metrics", "principal", "store"]),
    ("listen", &[]),
    ("metrics", &[]),
    ("principal", &[]),
    ("log", &[]),
    ("calls", &["compile", "metrics", "principal", "source"]),
    ("compile", &["blocking", "metrics", "principal", "source", "store"]),
    ("source", &["blocking", "metrics", "principal", "store"]),
    ("store", &[]),
    ("blocking", &[]),
    ("state", &[]),
    ("init", &["state"]),
];

/// Each use of a part by another one that may not use it.
fn findings(loaded: &Crate, edges: &[(&str, &[&str])]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (index, module) in loaded.modules.iter().enumerate() {
        let Some(from) = module.path.first() else { continue };
        let Some((_, allowed)) = edges.iter().find(|(name, _)| name == from) else {
            found.insert(format!("{} is in a part that EDGES does not know", module.file));
            continue;
        };
        for path in &module.uses {
            // The part that is named, and the part that defines the item, if another one re-exports
            // it.
            for to in [loaded.named(index, path), loaded.definition(index, path)] {
                let Some(to) = to.and_then(|to| loaded.modules[to].path.first()) else { continue };
                if to != from && !allowed.contains(&to.as_str()) {
                    found.insert(format!("{} uses {to} ({})", module.file, path.join("::")));
                }
            }
        }
    }
    found
}

/// The parts that reach themselves.
fn circles<'a>(edges: &[(&'a str, &[&'a str])]) -> Vec<&'a str> {
    let reaches = |start: &str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![start];
        while let Some(part) = next.pop() {
            let allowed = edges.iter().find(|(name, _)| *name == part).map_or(&[][..], |e| e.1);
            next.extend(allowed.iter().filter(|to| seen.insert(**to)));
        }
        seen.contains(start)
    };
    edges.iter().map(|(name, _)| *name).filter(|name| reaches(name)).collect()
}

#[test]
fn each_part_uses_only_the_parts_below_it() {
    let found = findings(&Crate::load("crates/server/src/lib.rs"), EDGES);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(circles(EDGES), [""; 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(low: &str) -> Vec<String> {
        let read = |path: &str| match path {
            "src/lib.rs" => Some("pub mod high; pub mod low;".to_owned()),
            "src/high.rs" => Some("pub struct High; pub use crate::low::Low;".to_owned()),
            "src/low.rs" => Some(low.to_owned()),
            _ => None,
        };
        let edges: &[(&str, &[&str])] = &[("high", &["low"]), ("low", &[])];
        findings(&Crate::parse("src/lib.rs", &read), edges).into_iter().collect()
    }

    #[test]
    fn a_use_of_a_higher_part_is_found_however_it_is_written() {
        for (low, written) in [
            ("use crate::high::High;", "crate::high::High"),
            ("use crate::{high::High};", "crate::high::High"),
            ("use super::high;", "super::high"),
            ("mod deep { use super::super::high::High; }", "super::super::high::High"),
            ("pub struct Low; fn f() -> crate::high::Low {}", "crate::high::Low"),
            ("fn f() { println!(\"{}\", crate::high::X) }", "crate::high::X"),
        ] {
            assert_eq!(of(low), [format!("src/low.rs uses high ({written})")], "{low}");
        }
        assert_eq!(of("pub struct Low; #[cfg(test)] use crate::high::High;"), [""; 0]);
    }

    #[test]
    fn parts_that_allow_each_other_are_found() {
        assert_eq!(circles(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), ["b", "c"]);
    }
}
