//! The text of a configuration file as JSON, with the position of each key.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A position in a file; both numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A JSON text.
#[derive(Debug)]
pub(super) struct Document {
    /// The value. Of a key that is given twice, the last one.
    pub(super) value: Value,
    /// The position of each key and of each element of a list, by its path: `network.pools[0].dns`.
    pub(super) positions: Vec<(String, Position)>,
}

/// A text that is not JSON.
#[derive(Debug)]
pub(super) struct InvalidJson {
    pub(super) position: Position,
    pub(super) text: String,
}

/// Reads a file of at most [`LONGEST`] bytes.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        let detail = format!(
            "the file has more than {LONGEST} bytes, the most that a configuration may have"
        );
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, detail));
    }
    Ok(text)
}

impl Document {
    /// Parses a text.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidJson> {
        let invalid = |error: serde_json::Error| {
            let position = Position { line: error.line().max(1), column: error.column().max(1) };
            let end = format!(" at line {} column {}", error.line(), error.column());
            InvalidJson { position, text: error.to_string().trim_end_matches(&end).to_owned() }
        };
        let value = serde_json::from_str(text).map_err(invalid)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(invalid)?;
        Ok(Self { value, positions: positions(text, raw, "") })
    }
}

/// An object's keys in their order, each with the text of its value.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The positions of all keys and elements in a part of the text, whose path is `path`.
fn positions(text: &str, raw: &RawValue, path: &str) -> Vec<(String, Position)> {
    let mut found = Vec::new();
    if raw.get().starts_with('{') {
        let members = serde_json::from_str(raw.get()).map_or(Vec::new(), |Members(it)| it);
        for (name, value) in members {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let at = before(text, start(text, value), &name);
            found.push((below.clone(), position(text, at)));
            found.extend(positions(text, value, &below));
        }
    } else if raw.get().starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
        for (index, value) in elements.into_iter().enumerate() {
            let below = format!("{path}[{index}]");
            found.push((below.clone(), position(text, start(text, value))));
            found.extend(positions(text, value, &below));
        }
    }
    found
}

/// Where a part of the text begins, in bytes.
fn start(text: &str, part: &RawValue) -> usize {
    part.get().as_ptr() as usize - text.as_ptr() as usize
}

/// Where the key begins whose value begins at `value`, in bytes.
fn before(text: &str, value: usize, name: &str) -> usize {
    let head = text[..value].trim_end();
    let quoted = head.strip_suffix(':').unwrap_or(head).trim_end();
    // A key with escapes is longer in the text than in `name`: the position of its end is used
    // then.
    let key = format!("\"{name}\"");
    let length = if quoted.ends_with(&key) { key.len() } else { 1 };
    quoted.len().saturating_sub(length)
}

fn position(text: &str, at: usize) -> Position {
    let head = &text[..at];
    let line = head.rfind('\n').map_or(0, |end| end + 1);
    Position { line: head.matches('\n').count() + 1, column: head[line..].chars().count() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, usize, usize)> {
        let positions = Document::parse(text).unwrap().positions;
        positions.into_iter().map(|(path, at)| (path, at.line, at.column)).collect()
    }

    #[test]
    fn each_key_and_element_has_its_position() {
        let text = "{\n  \"a\": 1, \"ö\": {\"c\" :\n  [true,\n {\"d\": null}]}}";
        let expected = [
            ("a", 2, 3),
            ("ö", 2, 11),
            ("ö.c", 2, 17),
            ("ö.c[0]", 3, 4),
            ("ö.c[1]", 4, 2),
            ("ö.c[1].d", 4, 3),
        ];
        assert_eq!(read(text), expected.map(|(path, line, at)| (path.to_owned(), line, at)));
    }

    #[test]
    fn a_key_that_is_given_twice_has_two_positions() {
        assert_eq!(read("{\"a\": 1,\n\"a\": 2}"), [("a".into(), 1, 2), ("a".into(), 2, 1)]);
    }

    #[test]
    fn a_key_with_escapes_has_the_right_line() {
        assert_eq!(read("{\n\"\\u0061\": 1}")[0].1, 2);
    }

    #[test]
    fn invalid_json_is_reported_with_its_position() {
        let invalid = Document::parse("{\"a\": 1,\n  \"b\" 2}").unwrap_err();
        assert_eq!(invalid.position, Position { line: 2, column: 7 });
        assert_eq!(invalid.text, "expected `:`");
        assert!(Document::parse("").is_err() && Document::parse("{} {}").is_err());
        assert!(Document::parse(&"[".repeat(1000)).is_err());
    }
}
