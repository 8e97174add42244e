//! Query parameters, and the ids in paths.
//!
//! Invariants: an unknown parameter is refused, because the client expects it to have an effect.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::calls::Code;
use crate::http::error::Refused;

/// How much of a value an answer repeats, in characters.
const SHOWN: usize = 64;

/// A request without parameters.
pub(super) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        only(parts.uri.query(), None).map(|_| Self)
    }
}

/// Which addresses are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressFilter {
    All,
    Available,
    Unavailable,
}

impl<S: Sync> FromRequestParts<S> for AddressFilter {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        match only(parts.uri.query(), Some("state"))? {
            None => Ok(Self::All),
            Some("available") => Ok(Self::Available),
            Some("unavailable") => Ok(Self::Unavailable),
            Some(other) => {
                Err(bad(format!("state: {:?} is neither available nor unavailable", shown(other))))
            }
        }
    }
}

/// The value of the only parameter that a resource has.
fn only<'a>(query: Option<&'a str>, name: Option<&str>) -> Result<Option<&'a str>, Refused> {
    let mut found = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            Some(name) if key == name && found.is_none() => found = Some(value),
            Some(name) if key == name => {
                return Err(bad(format!("{name}: the parameter is given twice; give it once")));
            }
            Some(name) => {
                let key = shown(key);
                return Err(bad(format!("{key:?}: unknown parameter; the only one is {name}")));
            }
            None => {
                let key = shown(key);
                return Err(bad(format!("{key:?}: unknown parameter; this resource has none")));
            }
        }
    }
    Ok(found)
}

fn bad(detail: String) -> Refused {
    Refused::new(Code::Parameter, detail)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The id in a path, if it is valid text.
pub(super) fn id(path: Result<Path<String>, PathRejection>) -> Result<String, Refused> {
    let Path(id) = path.map_err(|_| bad("the id in the path is not valid UTF-8".to_owned()))?;
    Ok(id)
}

/// The number of an island in a path.
pub(super) fn number(path: Result<Path<String>, PathRejection>) -> Result<i32, Refused> {
    let id = id(path)?;
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let number = id.parse().ok().filter(|number| plain && *number > 0);
    number.ok_or_else(|| bad(format!("{:?} is not the number of an island", shown(&id))))
}

/// The id of a cache entry in a path.
pub(super) fn key(path: Result<Path<String>, PathRejection>) -> Result<String, Refused> {
    let id = id(path)?;
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    if !id.is_empty() && id.bytes().all(plain) {
        return Ok(id);
    }
    Err(bad(format!("{:?} is not the id of a checkout or an artifact", shown(&id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_parameter_may_be_given_and_only_once() {
        let found = |query, name| only(Some(query), name).map_err(|refused| refused.0.detail);
        assert_eq!(only(None, None).ok(), Some(None));
        assert_eq!(found("", Some("state")), Ok(None));
        assert_eq!(found("state=available", Some("state")), Ok(Some("available")));
        assert_eq!(found("state", Some("state")), Ok(Some("")));
        assert!(found("state=1&state=2", Some("state")).unwrap_err().contains("twice"));
        assert!(found("stat=1", Some("state")).unwrap_err().contains("state"));
        assert!(found("a=1", None).unwrap_err().contains("\"a\""));
    }

    #[test]
    fn the_number_of_an_island_is_positive_and_has_no_sign() {
        let number = |text: &str| number(Ok(Path(text.to_owned()))).ok();
        assert_eq!(number("42"), Some(42));
        for text in ["", "0", "-1", "+1", "1.0", " 1", "2147483648", "si_0123abcd_1"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_id_of_an_entry_is_its_name_in_a_store() {
        let key = |text: &str| key(Ok(Path(text.to_owned()))).ok();
        assert!(key("0123abcd-ef").is_some());
        for text in ["", "..", "a/b", "A", "x", "a.b"] {
            assert_eq!(key(text), None, "{text:?}");
        }
    }
}
