//! Which hosts a fetch may connect to.
//!
//! The operator names hosts: targets of mirrors, a proxy, `sources.private_hosts`. All other hosts
//! are named by strangers, in import paths, redirects and go-import tags. A connection to one of
//! these goes to a public address, and to the very address that was looked at, whatever spelling or
//! name stands for it: otherwise anybody who may call functions could reach the host's own services
//! and its private network.
//!
//! Sources: RFC 6890 and the registries of special-purpose addresses that it made.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use fetch_job::Mirror;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The hosts that the operator has named. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedHosts(Arc<Hosts>);

#[derive(Debug, Default)]
struct Hosts {
    /// Hosts with the port that was named.
    ports: HashSet<(String, u16)>,
    /// Hosts with any port.
    names: HashSet<String>,
}

impl NamedHosts {
    /// The hosts of these mirrors and of the environment's proxy, and these private hosts.
    pub(super) fn new(mirrors: &[Mirror], private: &[String]) -> Self {
        let targets = mirrors.iter().filter_map(|mirror| mirror.target.parse::<Uri>().ok());
        let proxy = ureq::Proxy::try_from_env();
        let proxy = proxy.as_ref().and_then(|proxy| {
            Some((bare(proxy.host()), proxy.uri().port_u16().or(default_port(proxy.uri()))?))
        });
        let ports = targets.filter_map(|uri| host_and_port(&uri)).chain(proxy).collect();
        let names = private.iter().map(|name| bare(name)).collect();
        Self(Arc::new(Hosts { ports, names }))
    }

    /// Whether the operator has named the host of a URL.
    pub(super) fn has(&self, uri: &Uri) -> bool {
        host_and_port(uri)
            .is_some_and(|at| self.0.names.contains(&at.0) || self.0.ports.contains(&at))
    }
}

/// The host of a URL without case, brackets and a final dot, and its port.
fn host_and_port(uri: &Uri) -> Option<(String, u16)> {
    Some((bare(uri.host()?), uri.port_u16().or(default_port(uri))?))
}

fn default_port(uri: &Uri) -> Option<u16> {
    match uri.scheme_str()? {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn bare(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Whether a URL's host is this machine by its own name or number.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = bare(host);
    let is_name = host == "localhost" || host.ends_with(".localhost");
    is_name
        || host.parse::<IpAddr>().is_ok_and(|ip| {
            let ip = ip.to_canonical();
            ip.is_loopback() || ip.is_unspecified()
        })
}

/// Resolves names. For a host that the operator has not named, only public addresses are answers.
#[derive(Debug)]
pub(super) struct PublicResolver {
    inner: DefaultResolver,
    named: NamedHosts,
}

impl PublicResolver {
    pub(super) fn new(named: NamedHosts) -> Self {
        Self { inner: DefaultResolver::default(), named }
    }
}

impl Resolver for PublicResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        if self.named.has(uri) {
            return Ok(found);
        }
        let mut public = self.empty();
        found.iter().filter(|at| is_public(at.ip())).for_each(|at| public.push(*at));
        if public.is_empty() {
            let why = "the host has no public address";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why).into());
        }
        Ok(public)
    }
}

/// Whether an address is one of the public internet.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        // This network, private networks, loopback, link-local.
        (0 | 10 | 127, ..) | (169, 254, _) | (192, 168, _) => true,
        (172, 16..=31, _) => true,
        // Addresses that carriers share.
        (100, 64..=127, _) => true,
        // Protocol assignments, documentation, the old relays of 6to4, benchmarks.
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => true,
        (198, 18 | 19, _) => true,
        // Multicast, reserved, broadcast.
        (224.., ..) => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Within 2000::/3 alone are public addresses.
    if segments[0] & 0xe000 != 0x2000 {
        return match segments {
            // An IPv4 address behind NAT64 is as public as itself.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(embedded(high, low)),
            _ => false,
        };
    }
    match segments {
        // Teredo, benchmarks, ORCHID, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        _ => true,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        let public = [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ];
        let special = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        for text in special {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn this_machine_is_known_by_all_its_names_and_numbers() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "127.0.0.1.example", "10.0.0.1", "[2606::1]", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn the_operator_names_hosts_by_mirrors_and_by_name() {
        let mirror = |target: &str| Mirror { prefix: "a.b".into(), target: target.into() };
        let named = NamedHosts::new(
            &[mirror("http://127.0.0.1:3000/x"), mirror("https://Git.Example"), mirror("/srv")],
            &["intranet.example".to_owned()],
        );
        for (url, expected) in [
            ("http://127.0.0.1:3000/y", true),
            ("http://127.0.0.1:3001/y", false),
            ("https://127.0.0.1/y", false),
            ("https://git.example/y", true),
            ("https://git.example:8443/y", false),
            ("https://INTRANET.example.:8443/y", true),
            ("https://x.intranet.example/y", false),
        ] {
            assert_eq!(named.has(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_name_of_a_stranger_that_stands_for_this_host_is_not_connected_to() {
        let agent = |named: NamedHosts| {
            let config = ureq::Agent::config_builder().proxy(None).build();
            let connector = ureq::unversioned::transport::DefaultConnector::default();
            ureq::Agent::with_parts(config, connector, PublicResolver::new(named))
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let strange = agent(NamedHosts::default());
        for host in ["localhost", "127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "127.1"] {
            let error = strange.get(format!("http://{host}:{port}/")).call().unwrap_err();
            assert!(error.to_string().contains("no public address"), "{host}: {error}");
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "a connection was made");
    }
}
