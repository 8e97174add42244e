//! How files are written: their length, their first line, the width of their comments.

use super::sources::{self, Source};

/// The longest source file, in lines.
const MAX_LINES: usize = 400;
/// The last column of a comment.
const MAX_COLUMNS: usize = 100;

fn length(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let long = lines > MAX_LINES;
    long.then(|| format!("{} has {lines} lines: which noun could move out?", source.path))
}

fn first_line(source: &Source) -> Option<String> {
    let silent = !source.text.starts_with("//! ");
    silent.then(|| format!("{} does not begin with what it owns (`//! `)", source.path))
}

/// The comments that are too wide. A line whose one word is too long to be broken (an address) may
/// be.
fn width(source: &Source) -> Vec<String> {
    let wide = |line: &str| {
        let text = line.trim_start();
        let breakable = text.trim_start_matches(['/', '!', ' ']).contains(' ');
        text.starts_with("//") && line.chars().count() > MAX_COLUMNS && breakable
    };
    let lines = source.text.lines().zip(1..).filter(|(line, _)| wide(line));
    lines
        .map(|(_, number)| format!("{}:{number} is a comment wider than 100", source.path))
        .collect()
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let found: Vec<_> = sources::rust().iter().filter_map(length).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_file_says_what_it_owns() {
    let found: Vec<_> = sources::rust().iter().filter_map(first_line).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn comments_wrap_at_100_columns() {
    let found: Vec<_> = sources::rust().iter().flat_map(width).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_file_that_breaks_these_rules_is_found() {
    let source = |text: String| Source { path: "a.rs".to_owned(), text };
    assert!(length(&source("a\n".repeat(MAX_LINES + 1))).is_some());
    assert!(length(&source("a\n".repeat(MAX_LINES))).is_none());
    assert!(first_line(&source("// A note.\n".to_owned())).is_some());
    assert!(first_line(&source("//! The noun.\n".to_owned())).is_none());
    assert_eq!(width(&source(format!("x\n    // a {}", "b".repeat(92)))).len(), 1);
    assert_eq!(width(&source(format!("x\n    // a {}", "b".repeat(91)))).len(), 0);
    assert_eq!(width(&source(format!("// https://{}", "b".repeat(120)))).len(), 0);
}
