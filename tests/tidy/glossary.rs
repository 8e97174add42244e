//! The glossary of docs/architecture.md: few words, each of them used.

use super::identifiers;
use super::{sources, words};

/// The most entries.
const MAX_ENTRIES: usize = 25;

/// The terms in the first column of the table below `## Glossary`. One cell may have several:
/// `Version` / `Revision`.
fn entries(page: &str) -> Vec<Vec<String>> {
    let Some((_, section)) = page.split_once("\n## Glossary\n") else { return Vec::new() };
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cell = |row: &str| row.split('|').nth(1).unwrap_or_default().to_owned();
    let terms = |cell: String| {
        let terms = cell.split(['/', ',']).map(|term| term.replace(['`', '*'], ""));
        terms.map(|term| term.trim().to_owned()).filter(|term| !term.is_empty()).collect()
    };
    rows.map(cell).map(terms).collect()
}

/// What is wrong with the glossary of `page`, where `code` is the text of all sources.
fn findings(page: &str, code: &str) -> Vec<String> {
    let entries = entries(page);
    let mut found = Vec::new();
    if entries.is_empty() {
        found.push("docs/architecture.md has no table below `## Glossary`".to_owned());
    }
    if entries.len() > MAX_ENTRIES {
        found.push(format!("{} entries, at most {MAX_ENTRIES}", entries.len()));
    }
    let code = identifiers::words(code);
    for term in entries.iter().flatten() {
        let term_words = identifiers::words(term);
        let phrase: Vec<&str> = term_words.iter().map(|word| word.text.as_str()).collect();
        if !(0..code.len()).any(|at| identifiers::phrase_at(&code, at, &phrase)) {
            found.push(format!("no source uses the word {term}"));
        }
        if words::is_retired(term) {
            found.push(format!("{term} is a retired word"));
        }
    }
    found
}

#[test]
fn the_glossary_has_few_words_that_are_used() {
    let page = sources::read("docs/architecture.md").unwrap();
    let code: String = sources::rust().into_iter().map(|source| source.text + "\n").collect();
    assert_eq!(findings(&page, &code), [""; 0]);
}

#[test]
fn a_glossary_that_breaks_a_rule_is_found() {
    let page =
        |rows: &str| format!("# A\n\n## Glossary\n\n| word | is |\n|---|---|\n{rows}\n## B\n");
    let rows = "| warm pool | a |\n| `Version` / `Revision` | b |\n";
    let code = "struct WarmPool; // A version\nfn revision()";
    assert_eq!(findings(&page(rows), code), [""; 0]);
    assert_eq!(findings(&page(rows), "struct WarmPool;")[0], "no source uses the word Version");
    assert_eq!(findings(&page("| Roster | a |\n"), "Roster"), ["Roster is a retired word"]);
    assert_eq!(findings(&page(&rows.repeat(13)), code), ["26 entries, at most 25"]);
    assert_eq!(findings("# A\n", code).len(), 1);
}
