//! The principal of a call: the identity that the report, the metrics and the log name.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The identity that asks for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A client, by the address that its connection comes from.
    Address(IpAddr),
    /// A user of this host, by its user id, who asks over a unix socket of the server.
    Unix(u32),
    /// A user of this host, by its user id, who runs `sky-island call`.
    CommandLine(u32),
    /// An operator, who has the admin token.
    Admin,
    /// A client that the listener could not name.
    Unknown,
}

impl Principal {
    /// The names of all kinds, in the order of [`Principal::kind`].
    pub const KINDS: [&'static str; 5] = ["address", "unix", "command_line", "admin", "unknown"];

    /// A client by its address. An IPv4 address that came through an IPv6 socket is the same
    /// client.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }

    /// The client whose share of the server the principal's calls count against.
    pub fn client(self) -> Client {
        Client(match self {
            Self::Address(IpAddr::V6(address)) => Self::Address(network(address).into()),
            other => other,
        })
    }

    /// Which kind of principal this is: its place in [`Principal::KINDS`], for metrics.
    pub fn kind(self) -> usize {
        match self {
            Self::Address(_) => 0,
            Self::Unix(_) => 1,
            Self::CommandLine(_) => 2,
            Self::Admin => 3,
            Self::Unknown => 4,
        }
    }
}

/// A client with a share of the server: a principal, or all addresses of one IPv6 network, because
/// a host that has one of them has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(Principal);

/// The address of the network of 64 bits that an address is in.
fn network(address: Ipv6Addr) -> Ipv6Addr {
    let [a, b, c, d, ..] = address.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix(user) => write!(f, "unix:{user}"),
            Self::CommandLine(user) => write!(f, "cli:{user}"),
            Self::Admin => f.write_str("admin"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let client = |text: &str| Principal::address(text.parse().unwrap()).client();
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1:2:3"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("203.0.113.7"), client("::ffff:203.0.113.7"));
        assert_ne!(client("203.0.113.7"), client("203.0.113.8"));
        assert_ne!(Principal::Unix(1).client(), Principal::CommandLine(1).client());
    }

    #[test]
    fn each_principal_has_a_name_and_a_kind_of_its_own() {
        let address = |text: &str| Principal::address(text.parse().unwrap());
        let table = [
            (address("203.0.113.7"), "203.0.113.7", "address"),
            (address("::ffff:203.0.113.7"), "203.0.113.7", "address"),
            (address("2001:db8::1"), "2001:db8::1", "address"),
            (Principal::Unix(1000), "unix:1000", "unix"),
            (Principal::CommandLine(0), "cli:0", "command_line"),
            (Principal::Admin, "admin", "admin"),
            (Principal::Unknown, "unknown", "unknown"),
        ];
        for (principal, name, kind) in table {
            assert_eq!(principal.to_string(), name);
            assert_eq!(Principal::KINDS[principal.kind()], kind);
        }
    }
}
