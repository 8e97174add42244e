//! Which package of the standard library a name in a call means, chosen as goimports would.
//!
//! `stdlib.txt` has a line for each public package: its path, its name and, where several packages
//! have that name, the names that the package exports. The file comes from the `api` folder of the
//! Go distribution; of several packages that fit, the one on the earlier line is chosen.

use std::collections::BTreeSet;

const TABLE: &str = include_str!("stdlib.txt");

/// The path of the package called `name` that exports all of `selected`.
pub(super) fn find(name: &str, selected: &BTreeSet<String>) -> Option<&'static str> {
    lines()
        .filter(|line| line.name == name)
        .find(|line| line.exports(selected))
        .map(|line| line.path)
}

/// Whether there is a package of the standard library at a path.
pub fn is_standard(path: &str) -> bool {
    name_of(path).is_some()
}

/// The name of the package at a path, if it is one of the standard library.
pub(super) fn name_of(path: &str) -> Option<&'static str> {
    lines().find(|line| line.path == path).map(|line| line.name)
}

struct Line {
    path: &'static str,
    name: &'static str,
    /// Empty where no other package has the name.
    exports: &'static str,
}

impl Line {
    fn exports(&self, selected: &BTreeSet<String>) -> bool {
        let has = |name: &String| self.exports.split(' ').any(|export| export == name);
        self.exports.is_empty() || selected.iter().all(has)
    }
}

fn lines() -> impl Iterator<Item = Line> {
    TABLE.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ' ');
        Some(Line { path: parts.next()?, name: parts.next()?, exports: parts.next().unwrap_or("") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_names_are_decided_by_their_selectors() {
        let table = [
            ("strings", &["NewReader"][..], Some("strings")),
            ("json", &["Marshal"], Some("encoding/json")),
            ("rand", &["Intn"], Some("math/rand")),
            ("rand", &["N"], Some("math/rand/v2")),
            ("rand", &["Read"], Some("crypto/rand")),
            ("rand", &["Reader", "Int"], Some("crypto/rand")),
            ("template", &["New"], Some("text/template")),
            ("template", &["HTML"], Some("html/template")),
            ("nosuch", &["X"], None),
        ];
        for (name, selected, path) in table {
            let selected = selected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(find(name, &selected), path, "{name} {selected:?}");
        }
        assert_eq!(name_of("math/rand/v2"), Some("rand"));
        assert_eq!(name_of("example.com/x"), None);
    }
}
