//! The StatsD server as an operator writes it: a host or an address, with or without a port.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The default port of StatsD.
const PORT: u16 = cadence::DEFAULT_PORT;
/// The longest name of a host, in bytes (RFC 1035).
const HOST_BYTES: usize = 253;

/// A StatsD server: `metrics`, `metrics:9125`, `10.0.0.7`, `::1` or `[::1]:9125`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

/// Why a text is not a StatsD server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a host nor host:port; write one such as metrics, 127.0.0.1:{PORT} or [::1]:{PORT}"
)]
pub struct BadTarget(String);

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let bad = || BadTarget(text.to_owned());
        let target = |host: &str, port| Self { host: host.to_owned(), port };
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(target(&address.to_string(), PORT));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            let port = Some(address.port()).filter(|port| *port != 0).ok_or_else(bad)?;
            return Ok(target(&address.ip().to_string(), port));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => {
                (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?)
            }
            None => (text, PORT),
        };
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
        let named = !host.is_empty() && host.len() <= HOST_BYTES && host.chars().all(plain);
        // Digits and dots that are no address are a mistake, not a name.
        let number = host.chars().all(|it| it.is_ascii_digit() || it == '.');
        if named && !number { Ok(target(host, port)) } else { Err(bad()) }
    }
}

impl Target {
    /// The address of the server. Asks the resolver, which can take seconds.
    pub(super) fn resolve(&self) -> io::Result<SocketAddr> {
        let mut found = (self.host.as_str(), self.port).to_socket_addrs()?;
        found.next().ok_or_else(|| io::Error::other("the name has no address"))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_come_with_a_port_and_be_of_either_family() {
        let table = [
            ("127.0.0.1", "127.0.0.1:8125"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("::1", "[::1]:8125"),
            ("[::1]", "[::1]:8125"),
            ("[fd00::7]:9125", "[fd00::7]:9125"),
            ("localhost", "localhost:8125"),
            ("metrics-1.lan:9125", "metrics-1.lan:9125"),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_text_that_names_no_server_is_refused_and_shown() {
        let long = "a".repeat(HOST_BYTES + 1);
        for text in [
            "",
            ":",
            ":8125",
            "host:",
            "host:0",
            "host:65536",
            "host:x",
            "a b",
            "1.2.3",
            "1.2.3.4.5",
            "127.0.0.1:0",
            "[::1]:0",
            "[::1",
            "http://host",
            "host/path",
            "1:2:3",
            &long,
        ] {
            let refused = text.parse::<Target>().expect_err(text);
            assert!(refused.to_string().contains(&format!("{text:?}")), "{refused}");
        }
    }

    #[test]
    fn both_loopback_addresses_resolve_to_themselves() {
        for text in ["127.0.0.1:7", "[::1]:7"] {
            assert_eq!(text.parse::<Target>().unwrap().resolve().unwrap().to_string(), text);
        }
    }
}
