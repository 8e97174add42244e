//! An endpoint to listen on, as it is written: `127.0.0.1:3281`, `http://[::1]:3281`,
//! `unix:/run/sky-island.sock`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// The longest path of a socket, in bytes: what the shortest sockaddr_un(7) holds, FreeBSD's.
const PATH_BYTES: usize = 103;
/// The prefix of the path of a socket.
const UNIX: &str = "unix:";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Endpoint {
    /// An address and port, and the protocol that is served there.
    Tcp(SocketAddr, Protocol),
    /// The absolute path of a Unix socket. Plain HTTP is served there: no network lies between.
    Unix(PathBuf),
}

/// The protocol that is served at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTPS where a certificate is configured, HTTP otherwise.
    Either,
    /// HTTP in any case.
    Http,
    /// HTTPS in any case.
    Https,
}

/// Why a text is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text is neither an address nor a path.
    #[error(
        "{0:?} is not an endpoint to listen on; write 127.0.0.1:3281, [::1]:3281, http://ADDRESS, https://ADDRESS or unix:/PATH"
    )]
    Form(String),
    /// The path is relative.
    #[error("{0:?}: the path of a socket must be absolute, as in unix:/run/sky-island.sock")]
    Relative(String),
    /// The path is too long for the system.
    #[error(
        "{0:?}: the path of a socket may have at most {PATH_BYTES} bytes; choose a shorter one"
    )]
    Long(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix(UNIX) {
            if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
                return Err(EndpointError::Relative(text.to_owned()));
            }
            if path.len() > PATH_BYTES {
                return Err(EndpointError::Long(text.to_owned()));
            }
            return Ok(Self::Unix(path.into()));
        }
        let (protocol, address) = match text.split_once("://") {
            None => (Protocol::Either, text),
            Some(("http", address)) => (Protocol::Http, address),
            Some(("https", address)) => (Protocol::Https, address),
            Some(_) => return Err(EndpointError::Form(text.to_owned())),
        };
        let address = address.parse().map_err(|_| EndpointError::Form(text.to_owned()))?;
        Ok(Self::Tcp(address, protocol))
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address, Protocol::Either) => write!(f, "{address}"),
            Self::Tcp(address, Protocol::Http) => write!(f, "http://{address}"),
            Self::Tcp(address, Protocol::Https) => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl Endpoint {
    /// Whether a socket that is bound to an address or to a path is at this endpoint. Port 0 stands
    /// for any.
    pub(super) fn is_at(&self, address: Option<SocketAddr>, path: Option<&Path>) -> bool {
        match self {
            Self::Tcp(wanted, _) => address.is_some_and(|bound| {
                bound.ip() == wanted.ip() && (wanted.port() == 0 || wanted.port() == bound.port())
            }),
            Self::Unix(wanted) => path == Some(wanted),
        }
    }

    /// Whether this endpoint is every IPv6 address at a port of which another endpoint is every
    /// IPv4 address.
    pub(super) fn completes(&self, others: &[Self]) -> bool {
        let Self::Tcp(SocketAddr::V6(six), _) = self else { return false };
        let four = |other: &Self| {
            matches!(other, Self::Tcp(SocketAddr::V4(four), _)
                if four.ip().is_unspecified() && four.port() == six.port())
        };
        six.ip().is_unspecified() && others.iter().any(four)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_it_is_read() {
        for text in [
            "127.0.0.1:3281",
            "[::1]:3281",
            "http://127.0.0.1:0",
            "https://[::]:443",
            "unix:/run/sky-island.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_that_is_no_endpoint_is_refused_with_what_to_write() {
        let long = format!("unix:/{}", "x".repeat(PATH_BYTES));
        for (text, says) in [
            ("3281", "127.0.0.1:3281"),
            ("localhost", "127.0.0.1:3281"),
            ("ftp://127.0.0.1:1", "https://ADDRESS"),
            ("http://127.0.0.1:1/path", "http://ADDRESS"),
            ("127.0.0.1:65536", "127.0.0.1:3281"),
            ("unix:run/x.sock", "absolute"),
            ("unix:/run/", "absolute"),
            ("", "unix:/PATH"),
            (&long, "at most 103"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_socket_is_recognised_by_its_address_or_path() {
        let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
        let at = |text: &str| Some(text.parse().unwrap());
        assert!(endpoint("127.0.0.1:80").is_at(at("127.0.0.1:80"), None));
        assert!(endpoint("https://127.0.0.1:0").is_at(at("127.0.0.1:80"), None));
        assert!(!endpoint("127.0.0.1:81").is_at(at("127.0.0.1:80"), None));
        assert!(!endpoint("0.0.0.0:80").is_at(at("[::]:80"), None));
        assert!(endpoint("unix:/a").is_at(None, Some(Path::new("/a"))));
        assert!(!endpoint("unix:/a").is_at(None, None));
    }

    #[test]
    fn all_addresses_of_both_families_complete_each_other_at_one_port() {
        let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
        let four = [endpoint("0.0.0.0:80")];
        assert!(endpoint("[::]:80").completes(&four));
        assert!(!endpoint("[::]:81").completes(&four));
        assert!(!endpoint("[::1]:80").completes(&four));
        assert!(!endpoint("[::]:80").completes(&[endpoint("127.0.0.1:80")]));
    }
}
