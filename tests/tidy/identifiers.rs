//! Text as a row of plain words: `IslandRoster`, `island_roster` and "island roster" are the same
//! two words.

/// One word of a text.
#[derive(Debug)]
pub struct Word {
    /// The word in small letters.
    pub text: String,
    /// Where it begins in the text, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Only space, the marks of comments, an underscore or nothing separates it from the word
    /// before.
    pub follows: bool,
}

/// The words of a text, names in camel and snake case taken apart.
pub fn words(text: &str) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let mut at = 0;
    while at < characters.len() {
        let length = run(&characters[at..]);
        if length == 0 {
            at += 1;
            continue;
        }
        let start = characters[at].0;
        let end = characters.get(at + length).map_or(text.len(), |(offset, _)| *offset);
        let before = found.last().map_or(0, |word| word.end);
        let joins = |c: char| c.is_whitespace() || "/!*#_-\\".contains(c);
        let follows = !found.is_empty() && text[before..start].chars().all(joins);
        found.push(Word { text: text[start..end].to_lowercase(), start, end, follows });
        at += length;
    }
    found
}

/// How many characters the word at the beginning has: `Roster`, `roster`, or the `HTTP` of
/// `HTTPServer`.
fn run(characters: &[(usize, char)]) -> usize {
    let is = |index: usize, test: fn(char) -> bool| {
        characters.get(index).is_some_and(|(_, character)| test(*character))
    };
    if !is(0, char::is_alphabetic) {
        return 0;
    }
    let mut length = 1;
    if is(0, char::is_uppercase) && is(1, char::is_uppercase) {
        while is(length, char::is_uppercase) && !is(length + 1, char::is_lowercase) {
            length += 1;
        }
    } else {
        while is(length, |c| c.is_alphabetic() && !c.is_uppercase()) {
            length += 1;
        }
    }
    length
}

/// Whether the words of `phrase` are found at `at`, one after the other.
pub fn phrase_at(words: &[Word], at: usize, phrase: &[&str]) -> bool {
    let Some(words) = words.get(at..at + phrase.len()) else { return false };
    words.iter().zip(phrase).all(|(word, wanted)| word.text == *wanted)
        && words[1..].iter().all(|word| word.follows)
}

#[test]
fn names_are_taken_apart() {
    let of = |text: &str| words(text).into_iter().map(|word| word.text).collect::<Vec<_>>();
    assert_eq!(of("IslandRoster::new"), ["island", "roster", "new"]);
    assert_eq!(of("MAX_ROSTER_LEN v2"), ["max", "roster", "len", "v"]);
    assert_eq!(of("HTTPServer isn't"), ["http", "server", "isn", "t"]);
    assert_eq!(of("aB"), ["a", "b"]);
}

#[test]
fn a_phrase_goes_on_in_the_next_line_of_a_comment_and_ends_with_the_sentence() {
    let has = |text: &str| {
        let words = words(text);
        (0..words.len()).any(|at| phrase_at(&words, at, &["stands", "by"]))
    };
    assert!(has("an island that stands\n    /// by"));
    assert!(has("stands_by"));
    assert!(has("StandsBy"));
    assert!(!has("where it stands. By then"));
}
