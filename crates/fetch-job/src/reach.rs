//! Which hosts a fetch may connect to, and at which addresses.
//!
//! The operator names places: the targets of mirrors, module proxies, the checksum database. All
//! other hosts are named by strangers, in import paths, redirects, go-import tags and go.mod files.
//! A connection to one of these goes to port 443 of a public address, and to the very address that
//! was looked at, whatever spelling or name stands for it: otherwise anybody who may call functions
//! could reach the host's own services and its private network.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::address::is_public;
use super::host::{Host, HostError};

/// The port of hosts that strangers name.
const HTTPS: u16 = 443;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Place {
    /// The place of an `http://` or `https://` URL; none for other texts.
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let port = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => HTTPS,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let bare = authority.rsplit('@').next()?;
        let (host, named) = split_port(bare).ok()?;
        Some(Self { host: host.parse().ok()?, port: named.unwrap_or(port) })
    }

    /// The place of `host:port`, as the target of a CONNECT request names it.
    pub fn of_authority(text: &str) -> Option<Self> {
        let (host, port) = split_port(text).ok()?;
        Some(Self { host: host.parse().ok()?, port: port? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A host and the port behind it. An address of IPv6 needs brackets to have a port.
fn split_port(text: &str) -> Result<(&str, Option<u16>), HostError> {
    let colon = match text.rfind(']') {
        Some(end) => text[end + 1..].starts_with(':').then_some(end + 1),
        None => text.rfind(':').filter(|at| !text[..*at].contains(':')),
    };
    let Some(colon) = colon else { return Ok((text, None)) };
    let (host, digits) = (&text[..colon], &text[colon + 1..]);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(port @ 1..) if plain => Ok((host, Some(port))),
        _ => Err(HostError(text.to_owned())),
    }
}

/// A host, or `*.` and a name for all hosts below it; with a port, that port alone is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    below: bool,
    host: Host,
    port: Option<u16>,
}

/// A text that is no [`HostPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no host; write git.example.com, git.example.com:8443 or *.example.com, without a scheme or a path"
)]
pub struct HostPatternError(String);

impl HostPattern {
    fn matches(&self, host: &Host, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
            && match (self.below, &self.host, host) {
                (true, Host::Name(suffix), Host::Name(name)) => name
                    .strip_suffix(suffix.as_str())
                    .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
                _ => self.host == *host,
            }
    }

    fn names(&self, host: &Host, port: u16) -> bool {
        self.port == Some(port) && self.matches(host, port)
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let bad = || HostPatternError(text.to_owned());
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (host, port) = split_port(rest).map_err(|_| bad())?;
        let host = host.parse().map_err(|_| bad())?;
        if below && matches!(host, Host::Address(_)) {
            return Err(bad());
        }
        Ok(Self { below, host, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        write!(f, "{below}{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;

    fn try_from(text: String) -> Result<Self, HostPatternError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

/// The hosts that fetches may connect to, as the operator says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// What the operator has named by a URL: mirrors, module proxies, the checksum database.
    pub places: Vec<Place>,
    /// If there are any, strangers' hosts are among these (`sources.allow`).
    pub allow: Vec<HostPattern>,
    /// Hosts that are never connected to (`sources.deny`).
    pub deny: Vec<HostPattern>,
    /// Hosts that may have addresses which are not public (`sources.private_hosts`).
    pub private: Vec<HostPattern>,
}

/// At which addresses a host may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// At any: the operator has named the host.
    Anywhere,
    /// At public addresses.
    Public,
}

impl Reach {
    /// Whether a fetch may connect to a place; none if it may not.
    pub fn permit(&self, place: &Place) -> Option<Permit> {
        let Place { host, port } = place;
        let port = *port;
        let any = |patterns: &[HostPattern]| patterns.iter().any(|it| it.matches(host, port));
        if any(&self.deny) {
            return None;
        }
        if self.places.contains(place) {
            return Some(Permit::Anywhere);
        }
        if !self.allow.is_empty() && !any(&self.allow) {
            return None;
        }
        if any(&self.private) {
            return Some(Permit::Anywhere);
        }
        if port != HTTPS && !self.allow.iter().any(|it| it.names(host, port)) {
            return None;
        }
        let special = match host {
            Host::Address(address) => !is_public(*address),
            Host::Name(_) => host.is_this_machine(),
        };
        (!special).then_some(Permit::Public)
    }

    /// Whether a place that has this permit may be connected to at this address.
    pub fn admits(&self, permit: Permit, address: IpAddr, port: u16) -> bool {
        let host = Host::Address(address.to_canonical());
        let denied = self.deny.iter().any(|it| it.matches(&host, port));
        !denied && (permit == Permit::Anywhere || is_public(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<HostPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn place(text: &str) -> Place {
        Place::of_authority(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn a_place_is_read_from_a_url_and_from_an_authority() {
        for (url, expected) in [
            ("https://Git.Example/x", Some("git.example:443")),
            ("HTTP://localhost", Some("localhost:80")),
            ("http://me:pw@127.1:3000/x?y#z", Some("127.0.0.1:3000")),
            ("https://[::1]:8443/", Some("[::1]:8443")),
            ("https://a.b@c.d:1/e@f", Some("c.d:1")),
            ("https://a.b?c@d", Some("a.b:443")),
            ("https://a.b:0/", None),
            ("https://a.b:65536/", None),
            ("https://a.b:+1/", None),
            ("https:///x", None),
            ("file:///srv", None),
            ("/srv", None),
        ] {
            assert_eq!(Place::of_url(url).map(|it| it.to_string()).as_deref(), expected, "{url}");
        }
        for (text, expected) in [
            ("a.b:443", Some("a.b:443")),
            ("[::1]:443", Some("[::1]:443")),
            ("::1:443", None),
            ("a.b", None),
            ("a.b:", None),
            ("u@a.b:443", None),
            ("a.b:443/x", None),
            (" a.b:443", None),
        ] {
            let found = Place::of_authority(text).map(|it| it.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_pattern_is_a_host_or_all_hosts_below_a_name() {
        for (pattern, matching, other) in [
            ("Git.Example.", &["git.example:443", "git.example:1"][..], &["x.git.example:443"][..]),
            ("*.example", &["a.example:443", "a.b.example:22"], &["example:443", "aexample:443"]),
            ("a.b:8443", &["a.b:8443"], &["a.b:443"]),
            ("127.1", &["127.0.0.1:80", "[::ffff:7f00:1]:80"], &["127.0.0.2:80"]),
            ("[::1]:80", &["[::1]:80"], &["[::1]:81"]),
        ] {
            let found: HostPattern = pattern.parse().unwrap();
            assert_eq!(found.to_string().parse(), Ok(found.clone()));
            for (places, expected) in [(matching, true), (other, false)] {
                for text in places {
                    let Place { host, port } = place(text);
                    assert_eq!(found.matches(&host, port), expected, "{pattern} {text}");
                }
            }
        }
        for text in ["", "*", "*.", "*.*", "a.*", "https://a.b", "a.b/c", "a.b:x", "*.10.0.0.1"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_stranger_names_public_hosts_alone_and_the_operator_any() {
        let places = ["http://127.0.0.1:3000/x", "https://proxy.example", "http://10.0.0.5:80"];
        let reach = Reach {
            places: places.iter().filter_map(|url| Place::of_url(url)).collect(),
            private: patterns(&["intranet.example", "10.0.0.7:8443", "*.corp.example"]),
            deny: patterns(&["bad.example", "*.bad.example", "10.0.0.5"]),
            allow: Vec::new(),
        };
        let (anywhere, public) = (Some(Permit::Anywhere), Some(Permit::Public));
        for (text, expected) in [
            ("github.com:443", public),
            ("1.1.1.1:443", public),
            ("[2606:4700::1111]:443", public),
            ("github.com:22", None),
            ("github.com:80", None),
            ("127.0.0.1:3000", anywhere),
            ("127.1:3000", anywhere),
            ("[::ffff:127.0.0.1]:3000", anywhere),
            ("127.0.0.1:3001", None),
            ("127.0.0.2:3000", None),
            ("127.0.0.1:443", None),
            ("localhost:443", None),
            ("LOCALHOST.:443", None),
            ("a.localhost:443", None),
            ("0.0.0.0:443", None),
            ("0:443", None),
            ("2130706433:443", None),
            ("0x7f.1:443", None),
            ("[::1]:443", None),
            ("[::]:443", None),
            ("[::ffff:127.0.0.1]:443", None),
            ("[64:ff9b::7f00:1]:443", None),
            ("10.0.0.1:443", None),
            ("169.254.169.254:443", None),
            ("100.64.0.1:443", None),
            ("224.0.0.1:443", None),
            ("[fe80::1]:443", None),
            ("[fd00::1]:443", None),
            ("proxy.example:443", anywhere),
            ("proxy.example:8443", None),
            ("intranet.example:443", anywhere),
            ("Intranet.Example.:8443", anywhere),
            ("x.intranet.example:443", public),
            ("x.corp.example:9", anywhere),
            ("10.0.0.7:8443", anywhere),
            ("10.0.0.7:443", None),
            ("bad.example:443", None),
            ("x.bad.example:443", None),
            // The operator's own word against the operator's own: no connection.
            ("10.0.0.5:80", None),
        ] {
            assert_eq!(reach.permit(&place(text)), expected, "{text}");
        }
    }

    #[test]
    fn where_hosts_are_allowed_strangers_name_no_others() {
        let reach = Reach {
            places: vec![place("127.0.0.1:3000")],
            allow: patterns(&["github.com", "*.example", "git.example.org:8443", "in.example"]),
            deny: patterns(&["bad.example"]),
            private: patterns(&["in.example", "other.internal"]),
        };
        let (anywhere, public) = (Some(Permit::Anywhere), Some(Permit::Public));
        for (text, expected) in [
            ("github.com:443", public),
            ("github.com:8443", None),
            ("gitlab.com:443", None),
            ("a.example:443", public),
            ("example:443", None),
            ("bad.example:443", None),
            ("git.example.org:8443", public),
            ("git.example.org:443", None),
            ("in.example:443", anywhere),
            ("other.internal:443", None),
            ("127.0.0.1:3000", anywhere),
        ] {
            assert_eq!(reach.permit(&place(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_address_decides_whatever_name_has_it() {
        let reach = Reach { deny: patterns(&["1.1.1.1"]), ..Reach::default() };
        for (permit, address, expected) in [
            (Permit::Public, "8.8.8.8", true),
            (Permit::Public, "127.0.0.9", false),
            (Permit::Public, "::1", false),
            (Permit::Public, "::ffff:10.0.0.1", false),
            (Permit::Anywhere, "10.0.0.1", true),
            (Permit::Public, "1.1.1.1", false),
            (Permit::Anywhere, "::ffff:1.1.1.1", false),
        ] {
            let admits = reach.admits(permit, address.parse().unwrap(), 443);
            assert_eq!(admits, expected, "{permit:?} {address}");
        }
    }
}
