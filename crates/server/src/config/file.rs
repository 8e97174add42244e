//! The text of a configuration file as JSON, with the place of each key in it.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Where something is in a file; both count from 1.
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
    /// What it says. Of a key that is given twice, the last value.
    pub(super) value: Value,
    /// The place of each key and of each element of a list, by its path: `network.pools[0].dns`.
    pub(super) places: Vec<(String, Position)>,
}

/// A text that is not JSON.
#[derive(Debug)]
pub(super) struct InvalidJson {
    pub(super) place: Position,
    pub(super) text: String,
}

/// Reads a file, unless it is longer than a configuration can be.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        let detail = format!("it is longer than {LONGEST} bytes, so it is no configuration");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, detail));
    }
    Ok(text)
}

impl Document {
    /// Parses a text.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidJson> {
        let garbled = |error: serde_json::Error| {
            let place = Position { line: error.line().max(1), column: error.column().max(1) };
            let end = format!(" at line {} column {}", error.line(), error.column());
            InvalidJson { place, text: error.to_string().trim_end_matches(&end).to_owned() }
        };
        let value = serde_json::from_str(text).map_err(garbled)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(garbled)?;
        let mut places = Vec::new();
        note_places(text, raw, "", &mut places);
        Ok(Self { value, places })
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

fn note_places(text: &str, raw: &RawValue, path: &str, places: &mut Vec<(String, Position)>) {
    if raw.get().starts_with('{') {
        let members = serde_json::from_str(raw.get()).map_or(Vec::new(), |Members(it)| it);
        for (name, value) in members {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            places.push((below.clone(), place(text, before(text, start(text, value), &name))));
            note_places(text, value, &below, places);
        }
    } else if raw.get().starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
        for (index, value) in elements.into_iter().enumerate() {
            let below = format!("{path}[{index}]");
            places.push((below.clone(), place(text, start(text, value))));
            note_places(text, value, &below, places);
        }
    }
}

/// Where in the text a part of it begins, in bytes.
fn start(text: &str, part: &RawValue) -> usize {
    part.get().as_ptr() as usize - text.as_ptr() as usize
}

/// Where a key begins whose value begins at `value`.
fn before(text: &str, value: usize, name: &str) -> usize {
    let head = text[..value].trim_end();
    let quoted = head.strip_suffix(':').unwrap_or(head).trim_end();
    // A key with escapes is longer in the text than by itself; its end has to do then.
    let key = format!("\"{name}\"");
    let length = if quoted.ends_with(&key) { key.len() } else { 1 };
    quoted.len().saturating_sub(length)
}

fn place(text: &str, at: usize) -> Position {
    let head = &text[..at];
    let line = head.rfind('\n').map_or(0, |end| end + 1);
    Position { line: head.matches('\n').count() + 1, column: head[line..].chars().count() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(String, usize, usize)> {
        let places = Document::parse(text).unwrap().places;
        places.into_iter().map(|(path, at)| (path, at.line, at.column)).collect()
    }

    #[test]
    fn each_key_and_element_has_its_place() {
        let text = "{\n  \"a\": 1, \"ö\": {\"c\" :\n  [true,\n {\"d\": null}]}}";
        let expected = [
            ("a", 2, 3),
            ("ö", 2, 11),
            ("ö.c", 2, 17),
            ("ö.c[0]", 3, 4),
            ("ö.c[1]", 4, 2),
            ("ö.c[1].d", 4, 3),
        ];
        assert_eq!(places(text), expected.map(|(path, line, at)| (path.to_owned(), line, at)));
    }

    #[test]
    fn a_key_that_is_given_twice_has_two_places() {
        assert_eq!(places("{\"a\": 1,\n\"a\": 2}"), [("a".into(), 1, 2), ("a".into(), 2, 1)]);
    }

    #[test]
    fn a_key_with_escapes_has_the_right_line() {
        assert_eq!(places("{\n\"\\u0061\": 1}")[0].1, 2);
    }

    #[test]
    fn what_is_not_json_is_said_with_its_place() {
        let garbled = Document::parse("{\"a\": 1,\n  \"b\" 2}").unwrap_err();
        assert_eq!(garbled.place, Position { line: 2, column: 7 });
        assert_eq!(garbled.text, "expected `:`");
        assert!(Document::parse("").is_err() && Document::parse("{} {}").is_err());
        assert!(Document::parse(&"[".repeat(1000)).is_err());
    }
}
