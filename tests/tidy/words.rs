//! Words that the project no longer uses. docs/architecture.md has a glossary of those that it
//! does.

use super::identifiers::{self, Word};
use super::sources::{self, Source};

/// What is read. Of the changes, only those of the coming release.
const READ: &[&str] = &[
    "crates",
    "src",
    "tests",
    "docs",
    "templates",
    "man",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// The rules themselves, a list of retired words, and a script that calls a user by name.
const EXCEPT: &[&str] = &["tests/tidy/", "tests/retired_words.txt", "tests/service/rc.rs"];

/// The retired words and phrases.
const RETIRED: &[&str] = &[
    "berth",
    "berths",
    "standby",
    "standbys",
    "stand by",
    "stands by",
    "stood by",
    "standing by",
    "roster",
    "rosters",
    "resident",
    "residents",
    "tally",
    "tallies",
    "shelf",
    "shelves",
    "estate",
    "estates",
    "holding",
    "holdings",
    "chore",
    "chores",
    "workshop",
    "workshops",
    "recipe",
    "recipes",
    "complaint",
    "complaints",
    "flight",
    "flights",
    "landed",
    "remembered",
    "course",
    "courses",
    "hurry",
    "hurried",
    "whoever",
    "nobody",
    "those that",
    "of ours",
    "give back",
    "gives back",
    "gave back",
    "given back",
    "giving back",
    "house",
];

/// Phrases of the field that contain a retired word.
const USUAL: &[&str] =
    &["single flight", "in flight", "resident set", "resident pages", "become nobody"];

/// Files that are written from the definitions of keys and fields.
const GENERATED: &[&str] = &["docs/openapi.json", "docs/configuration.md"];

/// Whether a term has a retired word.
pub fn is_retired(term: &str) -> bool {
    !findings(&Source { path: String::new(), text: term.to_owned() }).is_empty()
}

fn findings(source: &Source) -> Vec<String> {
    let retired: Vec<Vec<&str>> = RETIRED.iter().map(|text| text.split(' ').collect()).collect();
    let mut found = Vec::new();
    for (text, is_path) in [(&source.path, true), (&source.text, false)] {
        let words = identifiers::words(text);
        for at in 0..words.len() {
            for phrase in retired.iter().filter(|phrase| phrase[0] == words[at].text) {
                let literal = match phrase[..] {
                    ["standby"] => is_key(source, text, &words[at]),
                    ["nobody"] => is_user(text, &words[at]),
                    _ => false,
                };
                if !identifiers::phrase_at(&words, at, phrase) || is_usual(&words, at) || literal {
                    continue;
                }
                let line = 1 + text[..words[at].start].matches('\n').count();
                let line = if is_path { 0 } else { line };
                found.push(format!("{}:{line}: {}", source.path, phrase.join(" ")));
            }
        }
    }
    found
}

/// The word at `at` belongs to one of the usual phrases.
fn is_usual(words: &[Word], at: usize) -> bool {
    USUAL.iter().any(|usual| {
        let phrase: Vec<&str> = usual.split(' ').collect();
        (at.saturating_sub(phrase.len() - 1)..=at)
            .any(|start| identifiers::phrase_at(words, start, &phrase))
    })
}

/// `standby` is a section of the configuration, a label of a metric and a field of the admin API.
/// It is one of these where it is quoted, a part of a dotted name (`standby.idle`,
/// `config.standby`), a field (`standby:`), or where the section is defined.
fn is_key(source: &Source, text: &str, word: &Word) -> bool {
    let before = text[..word.start].chars().next_back().unwrap_or(' ');
    let mut rest = text[word.end..].chars();
    let (after, second) = (rest.next().unwrap_or(' '), rest.next().unwrap_or(' '));
    let whole =
        !before.is_alphanumeric() && !after.is_alphanumeric() && before != '_' && after != '_';
    let quoted = "`\"'".contains(before) && "`\"'\\".contains(after);
    let dotted = before == '.' && text[..word.start - 1].ends_with(char::is_alphanumeric);
    let key = dotted || after == '.' && second.is_lowercase();
    let field = after == ':' && source.path.ends_with(".rs");
    let section = source.path.starts_with("crates/server/src/config");
    GENERATED.contains(&source.path.as_str()) || whole && (quoted || key || field || section)
}

/// `nobody` is also the name of a user: quoted, or in a line of passwd(5).
fn is_user(text: &str, word: &Word) -> bool {
    let before = text[..word.start].ends_with(['`', '"', ':']);
    let after = text[word.end..].starts_with(['`', '"', ':']);
    before && after
}

/// The part of the list of changes that belongs to the coming release.
fn coming(changes: &str) -> &str {
    let mut heads = changes.match_indices("\n## ").map(|(at, _)| at);
    heads.next();
    &changes[..heads.next().unwrap_or(changes.len())]
}

#[test]
fn retired_words_do_not_come_back() {
    let mut found = Vec::new();
    let read = sources::below(READ).into_iter();
    let is_read = |source: &Source| !EXCEPT.iter().any(|path| source.path.starts_with(path));
    for mut source in read.filter(is_read) {
        if source.path == "CHANGELOG.md" {
            source.text = coming(&source.text).to_owned();
        }
        found.extend(findings(&source));
    }
    assert!(found.is_empty(), "{} retired words:\n{}", found.len(), found.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Vec<String> {
        findings(&Source { path: path.to_owned(), text: text.to_owned() })
    }

    #[test]
    fn a_retired_word_is_found_in_names_sentences_and_paths() {
        assert_eq!(of("src/a.rs", "a\nIslandRoster"), ["src/a.rs:2: roster"]);
        assert_eq!(of("src/a.rs", "a.roster_len"), ["src/a.rs:1: roster"]);
        assert_eq!(of("src/a.rs", "// it stands\n// by"), ["src/a.rs:1: stands by"]);
        assert_eq!(of("README.md", "Whoever calls"), ["README.md:1: whoever"]);
        assert_eq!(of("src/chores.rs", ""), ["src/chores.rs:0: chores"]);
        assert_eq!(of("src/a.rs", "the flights"), ["src/a.rs:1: flights"]);
        assert_eq!(of("src/a.rs", "/// A standby island"), ["src/a.rs:1: standby"]);
        assert_eq!(of("src/a.rs", "\"standby islands\""), ["src/a.rs:1: standby"]);
        assert_eq!(of("src/a.rs", "fn standby()"), ["src/a.rs:1: standby"]);
    }

    #[test]
    fn usual_phrases_and_literal_keys_stay() {
        for text in [
            "SingleFlight",
            "mod single_flight;",
            "calls in flight",
            "its resident set",
            "`standby`",
            "\"standby\"",
            "standby.memory",
            "config.standby.limits()",
            "standby: Lookups,",
            "warehouse",
            "become_nobody()",
            "\"nobody:x:65534:65534:nobody:/tmp\"",
            "the user `nobody`",
        ] {
            assert_eq!(of("src/a.rs", text), [""; 0], "{text}");
        }
        assert_eq!(of("crates/server/src/config/standby.rs", "pub struct Standby;"), [""; 0]);
        assert_eq!(of("docs/openapi.json", "A standby"), [""; 0]);
    }

    #[test]
    fn older_releases_keep_their_words() {
        assert_eq!(coming("# Changes\n\n## 2\na\n\n## 1\nb\n"), "# Changes\n\n## 2\na\n");
        assert_eq!(coming("# Changes\n\n## 2\na\n"), "# Changes\n\n## 2\na\n");
    }
}
