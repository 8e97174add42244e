//! What stands behind the question mark, and the ids in paths.
//!
//! What must always hold: a parameter that nobody asks for is refused, for it was meant to say something.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::calls::Code;
use crate::http::error::Refused;

/// The longest part of a value that an answer repeats, in characters.
const SHOWN: usize = 64;

/// A request without parameters.
pub(super) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        only(parts.uri.query(), None).map(|_| Self)
    }
}

/// Which addresses are wanted.
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

/// The value of the one parameter that there may be.
fn only<'a>(query: Option<&'a str>, name: Option<&str>) -> Result<Option<&'a str>, Refused> {
    let mut found = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            Some(name) if key == name && found.is_none() => found = Some(value),
            Some(name) if key == name => return Err(bad(format!("{name}: is given twice"))),
            Some(name) => {
                let key = shown(key);
                return Err(bad(format!("{key:?}: there is no such parameter but {name}")));
            }
            None => return Err(bad(format!("{:?}: there are no parameters here", shown(key)))),
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

/// The id in a path, if it is text.
pub(super) fn id(path: Result<Path<String>, PathRejection>) -> Result<String, Refused> {
    let Path(id) = path.map_err(|_| bad("the id in the path is no text".to_owned()))?;
    Ok(id)
}

/// The number of an island in a path.
pub(super) fn number(path: Result<Path<String>, PathRejection>) -> Result<i32, Refused> {
    let id = id(path)?;
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let number = id.parse().ok().filter(|number| plain && *number > 0);
    number.ok_or_else(|| bad(format!("{:?} is no island's number", shown(&id))))
}

/// The id of an entry of a cache in a path.
pub(super) fn key(path: Result<Path<String>, PathRejection>) -> Result<String, Refused> {
    let id = id(path)?;
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    if !id.is_empty() && id.bytes().all(plain) {
        return Ok(id);
    }
    Err(bad(format!("{:?} is no id of a checkout or an artifact", shown(&id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_may_be_given_and_once() {
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
    fn an_islands_number_is_a_positive_one_without_a_sign() {
        let number = |text: &str| number(Ok(Path(text.to_owned()))).ok();
        assert_eq!(number("42"), Some(42));
        for text in ["", "0", "-1", "+1", "1.0", " 1", "2147483648", "si_0123abcd_1"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_entrys_id_is_what_stores_call_it() {
        let key = |text: &str| key(Ok(Path(text.to_owned()))).ok();
        assert!(key("0123abcd-ef").is_some());
        for text in ["", "..", "a/b", "A", "x", "a.b"] {
            assert_eq!(key(text), None, "{text:?}");
        }
    }
}
