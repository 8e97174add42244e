//! The fields of a request, read as the server of 2017 read them where that can mean one thing only.

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::{Map, Value};

/// What an error about a key begins with.
pub(super) const UNKNOWN: &str = "unknown field";

/// Reads JSON. A key that is not known may be a known one in other letters: what Go writes of a structure without tags is
/// `URL` and `Call`. The error is that of the text as it stands.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|error| match error.to_string() {
        text if text.starts_with(UNKNOWN) => in_any_case(bytes).ok_or(error),
        _ => Err(error),
    })
}

fn in_any_case<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let fields: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let count = fields.len();
    let small: Map<String, Value> =
        fields.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
    // Of two that are the same in small letters neither counts.
    (small.len() == count).then(|| serde_json::from_value(Value::Object(small)).ok())?
}

/// A field that is null is one that is not there.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::super::FunctionRequest;
    use super::*;

    fn read(json: &str) -> Result<FunctionRequest, String> {
        from_json(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_may_be_in_other_letters_and_once() {
        for json in [
            r#"{"url": "a.b/c", "call": "F()", "cache_bust": true}"#,
            r#"{"URL": "a.b/c", "Call": "F()", "Cache_Bust": true}"#,
            r#"{"Url": "a.b/c", "CALL": "F()", "cache_BUST": true, "IP4": null, "Imports": null}"#,
        ] {
            let form = read(json).unwrap();
            let parts = (form.url.as_str(), form.call.as_str(), form.cache_bust, form.ip4);
            assert_eq!(parts, ("a.b/c", "F()", true, false), "{json}");
        }
        for (json, says) in [
            (r#"{"url": "a.b/c", "URL": "a.b/d", "call": "F()"}"#, "unknown field `URL`"),
            (r#"{"url": "a.b/c", "url": "a.b/d", "call": "F()"}"#, "duplicate field `url`"),
            (r#"{"URL": "a.b/c", "call": "F()", "CacheBust": true}"#, "unknown field `URL`"),
            (r#"{"URL": "a.b/c"}"#, "unknown field `URL`"),
        ] {
            assert!(read(json).is_err_and(|error| error.contains(says)), "{json}");
        }
    }

    #[test]
    fn null_is_no_value_where_there_need_not_be_one() {
        let json = r#"{"url": "a.b/c", "call": "F()", "version": null, "imports": null, "ip4": null, "cache_bust": null}"#;
        let form = read(json).unwrap();
        assert_eq!(
            (form.version, form.imports.len(), form.ip4, form.cache_bust),
            (None, 0, false, false)
        );
        assert!(read(r#"{"url": null, "call": "F()"}"#).is_err());
    }
}
