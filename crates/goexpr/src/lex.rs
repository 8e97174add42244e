//! The lexer: turns a text into the tokens of Go, or reports the first byte that is no token.

use super::error::{CallErrorKind, Fault, Parsed};
use super::literal;
use super::span::Span;
use super::token::{Kind, Token};
use super::unicode::{is_digit, is_letter};

/// All tokens of the text; the last one is always `End`.
///
/// A line end becomes a `Newline` token exactly where Go ends a statement there, and is white
/// space elsewhere. The end of the text makes no such token: an open statement is unfinished there
/// anyway.
pub(super) fn tokens(text: &str) -> Parsed<Vec<Token>> {
    refuse_unseen_characters(text)?;
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut ends_statement = false;
    while at < text.len() {
        let (kind, length) = match text.as_bytes()[at] {
            b'\n' if ends_statement => (Kind::Newline, 1),
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            _ => token(text, at)?,
        };
        tokens.push(Token { kind, span: Span::new(at, at + length) });
        ends_statement = kind.ends_statement();
        at += length;
    }
    tokens.push(Token { kind: Kind::End, span: Span::new(at, at) });
    Ok(tokens)
}

/// Go's compiler refuses NUL and the byte order mark anywhere in a file, also inside strings.
fn refuse_unseen_characters(text: &str) -> Parsed<()> {
    let unseen = |c: char| c == '\0' || c == '\u{feff}';
    match text.char_indices().find(|&(_, c)| unseen(c)) {
        None => Ok(()),
        Some((at, '\0')) => {
            Err(Fault::token(at, "a NUL byte cannot be in Go source: write \\x00 in a string"))
        }
        Some((at, _)) => Err(Fault::token(
            at,
            "a byte order mark cannot be in a call: remove it, or write \\ufeff in a string",
        )),
    }
}

/// The kind and the length of the token that begins at `at`.
fn token(text: &str, at: usize) -> Parsed<(Kind, usize)> {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    match bytes {
        [b'/', b'/' | b'*', ..] => Err(Fault::new(
            CallErrorKind::Comment,
            at,
            "a comment cannot be in a call: remove it and give the expression alone",
        )),
        [b'"', ..] => literal::string(text, at).map(|length| (Kind::String, length)),
        [b'`', ..] => literal::raw_string(text, at).map(|length| (Kind::String, length)),
        [b'\'', ..] => literal::rune(text, at).map(|length| (Kind::Rune, length)),
        [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => literal::number(text, at),
        _ => {
            if let Some(length) = word(rest) {
                return Ok((Kind::of_word(&rest[..length]), length));
            }
            match Kind::of_operator(rest) {
                Some((kind, sign)) => Ok((kind, sign.len())),
                None => Err(unknown_character(rest, at)),
            }
        }
    }
}

/// The length of the identifier or keyword that `rest` begins with.
fn word(rest: &str) -> Option<usize> {
    let first = rest.chars().next()?;
    let in_word = |c: char| is_letter(c) || is_digit(c);
    is_letter(first).then(|| rest.find(|c| !in_word(c)).unwrap_or(rest.len()))
}

fn unknown_character(rest: &str, at: usize) -> Fault {
    let c = rest.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
    let advice = match c {
        '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' => "write straight quotes: ' or \"",
        c if c.is_whitespace() => "separate tokens with ordinary spaces",
        _ => "remove it, or put it into a string",
    };
    let shown = c.escape_debug();
    Fault::token(at, format!("unexpected character '{shown}' (U+{:04X}): {advice}", u32::from(c)))
}
