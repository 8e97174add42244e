//! Reads the fields of a request as the server of 2017 did, where their meaning is not ambiguous.

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::{Map, Value};

/// The beginning of serde's message about an unknown key.
pub(super) const UNKNOWN: &str = "unknown field";

/// Reads JSON. Keys may be in any case, because Go writes the fields of a structure without tags as
/// `URL` and `Call`. An error is about the text as it was sent.
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
    // Two keys that differ only in case are ambiguous.
    (small.len() == count).then(|| serde_json::from_value(Value::Object(small)).ok())?
}

/// Reads `null` as an absent field.
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
    fn keys_may_be_in_any_case_and_are_given_once() {
        for json in [
            r#"{"url": "a.b/c", "call": "F()", "cache_bust": true}"#,
            r#"{"URL": "a.b/c", "Call": "F()", "Cache_Bust": true}"#,
            r#"{"Url": "a.b/c", "CALL": "F()", "cache_BUST": true, "IP4": null, "Imports": null}"#,
        ] {
            let request = read(json).unwrap();
            let parts =
                (request.url.as_str(), request.call.as_str(), request.cache_bust, request.ip4);
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
    fn null_is_an_absent_field_where_the_field_is_optional() {
        let json = r#"{"url": "a.b/c", "call": "F()", "version": null, "imports": null, "ip4": null, "cache_bust": null}"#;
        let request = read(json).unwrap();
        assert_eq!(
            (request.version, request.imports.len(), request.ip4, request.cache_bust),
            (None, 0, false, false)
        );
        assert!(read(r#"{"url": null, "call": "F()"}"#).is_err());
    }
}
