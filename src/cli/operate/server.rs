//! The name of a server: `http://127.0.0.1:3281`, `localhost:3281`, `unix:/run/sky-island.sock`.
//!
//! Invariants: a request goes to the named server alone. No proxy is used, and no redirect is
//! followed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ::server::config::{PORT, SERVER};
use ::server::listen::Endpoint;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};

use crate::cli::operate::unix::{NoNames, Socket};

/// How long to wait for the resolution of a name, and for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The beginning of the server's URLs, `http://127.0.0.1:3281`, and whether the server is on
    /// this host.
    Web { base: String, local: bool },
    /// The path of the server's socket.
    Unix(PathBuf),
}

/// A text that is not the name of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a server; write http://HOST:PORT, https://HOST:PORT, HOST:PORT or unix:/PATH"
)]
pub(crate) struct BadServer(String);

impl FromStr for Server {
    type Err = BadServer;

    fn from_str(text: &str) -> Result<Self, BadServer> {
        let bad = || BadServer(text.to_owned());
        if text.starts_with("unix:") {
            return match text.parse() {
                Ok(Endpoint::Unix(path)) => Ok(Self::Unix(path)),
                _ => Err(bad()),
            };
        }
        let has_scheme = text.contains("://");
        let url = if has_scheme { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        let scheme = scheme.ok_or_else(bad)?;
        let authority = uri.authority().ok_or_else(bad)?;
        let path = uri.path().trim_end_matches('/');
        let odd = authority.as_str().contains('@') || (!has_scheme && !path.is_empty());
        if odd || uri.query().is_some() || authority.host().is_empty() {
            return Err(bad());
        }
        let (host, local) = host(authority.host());
        let port = match authority.as_str().rsplit_once(':') {
            // The parser ignores a port that is not a number.
            Some((_, port)) if !port.ends_with(']') && authority.port_u16().is_none() => {
                return Err(bad());
            }
            _ => authority.port_u16().or((!has_scheme).then_some(PORT)),
        };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self::Web { base: format!("{scheme}://{host}{port}{path}"), local })
    }
}

/// The host to connect to, and whether it is this host. A server that listens on all addresses is
/// reached on the loopback address.
fn host(text: &str) -> (String, bool) {
    match text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(IpAddr::V4(it)) if it.is_unspecified() => (Ipv4Addr::LOCALHOST.to_string(), true),
        Ok(IpAddr::V6(it)) if it.is_unspecified() => (format!("[{}]", Ipv6Addr::LOCALHOST), true),
        Ok(address) => (text.to_owned(), address.is_loopback()),
        Err(_) => (text.to_owned(), text == "localhost"),
    }
}

impl Server {
    /// The server that the environment names.
    pub(crate) fn of_environment() -> Result<Option<Self>, BadServer> {
        match std::env::var_os(SERVER) {
            Some(text) if !text.is_empty() => text.to_string_lossy().parse().map(Some),
            _ => Ok(None),
        }
    }

    /// Whether the server is on this host.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_) | Self::Web { local: true, .. })
    }

    /// Whether the server has a certificate that is checked.
    pub(super) fn has_certificate(&self) -> bool {
        matches!(self, Self::Web { base, .. } if base.starts_with("https:"))
    }

    /// A client of this server. A request may take so long.
    pub(crate) fn agent(&self, wait: Duration) -> ureq::Agent {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(wait))
            .timeout_resolve(Some(CONNECT.min(wait)))
            .timeout_connect(Some(CONNECT.min(wait)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("sky-island/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .build();
        match self {
            Self::Web { .. } => config.new_agent(),
            Self::Unix(path) => ureq::Agent::with_parts(config, Socket(path.clone()), NoNames),
        }
    }

    /// The URL of a resource, `/api/v1/function`.
    pub(crate) fn url(&self, path: &str) -> String {
        match self {
            Self::Web { base, .. } => format!("{base}{path}"),
            Self::Unix(_) => format!("http://localhost{path}"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web { base, .. } => f.write_str(base),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_a_url_an_address_or_a_path() {
        let table = [
            ("http://127.0.0.1:3281", "http://127.0.0.1:3281", true),
            ("http://127.0.0.1:3281/", "http://127.0.0.1:3281", true),
            ("https://islands.example.org/sky", "https://islands.example.org/sky", false),
            ("localhost", "http://localhost:3281", true),
            ("10.0.0.5:80", "http://10.0.0.5:80", false),
            ("[::1]:3281", "http://[::1]:3281", true),
            ("[::1]", "http://[::1]:3281", true),
            ("http://0.0.0.0:3281", "http://127.0.0.1:3281", true),
            ("https://[::]:443", "https://[::1]:443", true),
            ("unix:/run/sky-island.sock", "unix:/run/sky-island.sock", true),
        ];
        for (text, shown, local) in table {
            let server: Server = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((server.to_string().as_str(), server.is_local()), (shown, local), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_server_is_refused_with_what_to_write() {
        for text in [
            "",
            "http://",
            "ftp://x",
            "unix:run/x.sock",
            "http://a:b@c",
            "http://x/?q=1",
            "x y",
            "localhost/api",
            "localhost:99999",
            "localhost:",
            "[::1]:x",
            "http://x:port",
        ] {
            let error = text.parse::<Server>().expect_err(text).to_string();
            assert!(error.contains("unix:/PATH"), "{error}");
        }
    }
}
