//! Access to the admin API by its token.
//!
//! Invariants: a request without the token is refused. A comparison takes the same time for every
//! text. Only the hash of the token is kept, so that no output can show the token.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header in which clients of 2017 send the token.
pub const HEADER: &str = "X-Sky-Island-Token";

/// Access by a token. Clones share the token, so that it can be changed while the server runs.
#[derive(Clone)]
pub struct Access {
    lock: Arc<RwLock<Arc<Lock>>>,
}

struct Lock {
    header: HeaderName,
    hash: [u8; 32],
}

/// Why a header or a token cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The text is not the name of a header.
    #[error("admin_token_header: {0:?} is not the name of a header; use letters, digits and -")]
    Header(String),
    /// No header can carry the token.
    #[error(
        "admin_api_token: a header cannot carry the token; use visible ASCII characters, with blanks only between them"
    )]
    Unsendable,
    /// Every client knows the empty token.
    #[error("admin_api_token: the token is empty; remove the key, and the server makes a token")]
    Empty,
}

impl Access {
    /// Access by `token` in `header`, by default [`HEADER`].
    pub fn new(header: Option<&str>, token: &str) -> Result<Self, AccessError> {
        let lock = Lock::new(header, token)?;
        Ok(Self { lock: Arc::new(RwLock::new(Arc::new(lock))) })
    }

    /// Changes the header and the token, from the next request on.
    pub fn change(&self, header: Option<&str>, token: &str) -> Result<(), AccessError> {
        *self.lock.write() = Arc::new(Lock::new(header, token)?);
        Ok(())
    }

    /// Whether this token in this header opens the admin API.
    #[cfg(test)]
    pub(crate) fn admits(&self, header: &'static str, token: &'static str) -> bool {
        let header = (HeaderName::from_static(header), axum::http::HeaderValue::from_static(token));
        self.is_open_to(&HeaderMap::from_iter([header]))
    }

    /// Whether a request has the token.
    pub(super) fn is_open_to(&self, headers: &HeaderMap) -> bool {
        let lock = self.lock.read().clone();
        let mut sent = headers.get_all(&lock.header).iter();
        let (first, more) = (sent.next(), sent.next());
        let hash = Sha256::digest(first.map_or(&b""[..], |value| value.as_bytes()));
        let same: bool = hash.as_slice().ct_eq(&lock.hash).into();
        // A request has one guess.
        same && more.is_none()
    }
}

impl Lock {
    fn new(header: Option<&str>, token: &str) -> Result<Self, AccessError> {
        let name = header.unwrap_or(HEADER);
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| AccessError::Header(name.to_owned()))?;
        let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if token.trim() != token || !token.bytes().all(visible) {
            return Err(AccessError::Unsendable);
        }
        if token.is_empty() {
            return Err(AccessError::Empty);
        }
        Ok(Self { header, hash: Sha256::digest(token).into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const TOKEN: &str = "asdfasdfasdfasdf";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn access_is_open_to_requests_with_the_token_alone() {
        let access = Access::new(None, TOKEN).unwrap();
        let table: [(&[_], bool); 8] = [
            (&[("x-sky-island-token", TOKEN)], true),
            (&[("X-SKY-ISLAND-TOKEN", TOKEN)], true),
            (&[], false),
            (&[("x-sky-island-token", "")], false),
            (&[("x-sky-island-token", "asdfasdfasdfasd")], false),
            (&[("x-sky-island-token", "asdfasdfasdfasdg")], false),
            (&[("authorization", TOKEN)], false),
            (&[("x-sky-island-token", TOKEN), ("x-sky-island-token", TOKEN)], false),
        ];
        for (sent, open) in table {
            assert_eq!(access.is_open_to(&headers(sent)), open, "{sent:?}");
        }
    }

    #[test]
    fn a_change_reaches_all_clones() {
        let access = Access::new(None, TOKEN).unwrap();
        let shared = access.clone();
        access.change(Some("X-Own"), "another one").unwrap();
        assert!(shared.is_open_to(&headers(&[("x-own", "another one")])));
        assert!(!shared.is_open_to(&headers(&[("x-sky-island-token", TOKEN)])));
        assert_eq!(access.change(None, ""), Err(AccessError::Empty));
        assert!(shared.is_open_to(&headers(&[("x-own", "another one")])));
    }

    #[test]
    fn an_empty_token_and_one_that_no_header_can_carry_are_refused() {
        let refused = |header, token| Access::new(header, token).err();
        assert_eq!(refused(None, ""), Some(AccessError::Empty));
        for token in [" blank before it", "blank behind it ", "line\nend of it", "größer als ASCII"]
        {
            assert_eq!(refused(None, token), Some(AccessError::Unsendable), "{token:?}");
        }
        let header = AccessError::Header("two words".into());
        assert_eq!(refused(Some("two words"), TOKEN), Some(header));
    }
}
