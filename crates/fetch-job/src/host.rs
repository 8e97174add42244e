//! The host of a URL in one spelling: a name, or an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, as in DNS.
const LONGEST: usize = 253;

/// A host as URLs name it. Two spellings of one name or of one address are the same host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// A name, in lower case and without a final dot.
    Name(String),
    /// An address. An IPv4 address in the form of IPv6 is an IPv4 address.
    Address(IpAddr),
}

/// A text that names no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no host")]
pub struct HostError(pub(super) String);

impl Host {
    /// Whether the host is this machine by its spelling alone.
    pub fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback() || address.is_unspecified(),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let bad = || HostError(text.chars().take(LONGEST).collect());
        if let Some(inside) = text.strip_prefix('[') {
            let inside = inside.strip_suffix(']').ok_or_else(bad)?;
            let address = inside.parse::<Ipv6Addr>().map_err(|_| bad())?;
            return Ok(Self::Address(address.to_canonical()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        if is_number(last) {
            // Systems read such a host as an address, never as a name.
            return numeric(&name).map(|address| Self::Address(address.into())).ok_or_else(bad);
        }
        let plain = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        match name.len() <= LONGEST && name.split('.').all(plain) {
            true => Ok(Self::Name(name)),
            false => Err(bad()),
        }
    }
}

fn is_number(label: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits(label) || label.strip_prefix("0x").is_some_and(hex)
}

/// An IPv4 address as inet_aton(3) reads it: one to four numbers, decimal, octal or hexadecimal, of
/// which the last fills the bytes that are left.
fn numeric(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match part {
        _ if !is_number(part) => None,
        "0x" => None,
        _ if part.starts_with("0x") => u32::from_str_radix(&part[2..], 16).ok(),
        _ if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        _ => part.parse().ok(),
    };
    let numbers = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|number| *number > 255) {
        return None;
    }
    let left = 32 - 8 * first.len() as u32;
    if u64::from(*last) >= 1 << left {
        return None;
    }
    let high = first.iter().fold(0u64, |bits, number| bits << 8 | u64::from(*number));
    Some(Ipv4Addr::from((high << left) as u32 | last))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_host_is_the_same_host() {
        for (text, expected) in [
            ("GitHub.com.", "github.com"),
            ("box", "box"),
            ("a_b.example", "a_b.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("0x7F.0.0.1", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0", "0.0.0.0"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("::FFFF:7f00:1", "127.0.0.1"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[2606:4700:0::1111]", "[2606:4700::1111]"),
        ] {
            let host = text.parse::<Host>().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(host.to_string(), expected, "{text}");
            assert_eq!(host.to_string().parse(), Ok(host));
        }
    }

    #[test]
    fn what_systems_may_read_in_two_ways_is_no_host() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "user@a.b",
            "a.b:80",
            "ä.b",
            "a%2eb",
            "[::1",
            "[::1%lo]",
            "fe80::1%eth0",
            "[127.0.0.1]",
            "1.2.3.4.5",
            "256.0.0.1",
            "1.2.3.256",
            "127.0.0.08",
            "a.1",
            "a.0x",
            "4294967296",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
        assert!("a.".repeat(200).parse::<Host>().is_err());
    }

    #[test]
    fn this_machine_is_known_by_all_its_names_and_numbers() {
        for text in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "0",
            "2130706433",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(text.parse::<Host>().unwrap().is_this_machine(), "{text}");
        }
        for text in ["localhost.example", "10.0.0.1", "[2606::1]"] {
            assert!(!text.parse::<Host>().unwrap().is_this_machine(), "{text}");
        }
    }
}
