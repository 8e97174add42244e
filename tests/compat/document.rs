//! docs/compatibility.md: each row of its tables names, in its last column, the tests that hold it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Fails unless each row names at least one test, each named test is there, and each test is named.
pub(crate) fn names_each_of(tests: &[&str]) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut named = BTreeSet::new();
    // The head of a table and the line below it say nothing.
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.ends_with("test |"));
    for row in rows {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            return Err(format!("no test holds: {row}"));
        }
        named.extend(names);
    }
    let known: BTreeSet<&str> = tests.iter().copied().collect();
    let (gone, new): (Vec<_>, Vec<_>) =
        (named.difference(&known).collect(), known.difference(&named).collect());
    if gone.is_empty() && new.is_empty() {
        return Ok(());
    }
    Err(format!("named, but not there: {gone:?}; there, but not named: {new:?}"))
}
