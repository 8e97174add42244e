//! An origin whose pages may call the server from a browser: `https://example.org`, or `*` for all
//! of them.

use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// The origin of a page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Origin {
    /// Every origin.
    Any,
    /// A scheme, a host and maybe a port: visible ASCII, as a browser writes it.
    One(String),
}

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin; write https://example.org, http://localhost:8080 or *, without a path"
)]
pub struct OriginError(String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        // Browsers write hosts in lower case, and the text is compared with what they send.
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte)
        };
        match host {
            Some(host) if !host.is_empty() && host.bytes().all(plain) => {
                Ok(Self::One(text.to_owned()))
            }
            _ => Err(OriginError(text.to_owned())),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Any => "*",
            Self::One(origin) => origin,
        })
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_and_a_host_and_nothing_else() {
        assert_eq!("*".parse(), Ok(Origin::Any));
        for text in ["https://example.org", "http://localhost:8080", "http://[::1]:1"] {
            assert_eq!(text.parse(), Ok(Origin::One(text.to_owned())));
        }
        for text in
            ["example.org", "https://", "https://example.org/", "https://Example.org", "null", ""]
        {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
