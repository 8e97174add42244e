//! One pool: a network whose addresses are lent, with their gateway and name servers.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::net::interface::Interface;
use crate::net::range::{Family, Range};

/// The most addresses of one pool that are lent; the further addresses of a larger network are
/// unused.
pub const MAX_LENT: usize = 65_536;

/// The settings of a pool.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The interface that the addresses are added to; on Linux, a bridge.
    pub interface: Interface,
    /// The network, by its own address.
    pub network: IpNetwork,
    /// The part of the network that is lent; none for the whole network.
    pub span: Option<Range>,
    /// The ranges that are not lent.
    pub exclude: Vec<Range>,
    /// The way to other networks.
    pub gateway: Option<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
}

/// A pool of which at least one address can be lent.
#[derive(Clone, Debug)]
pub struct Pool {
    settings: PoolSettings,
    usable: Vec<Range>,
}

/// Settings that make no valid pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The network is written by another address than its own.
    #[error("network: {0} is an address within {1}: write {1}")]
    HostBits(IpNetwork, IpNetwork),
    /// No interface can have such an address.
    #[error("network: the addresses of {0} cannot be given to an interface: {1}")]
    Kind(IpNetwork, &'static str),
    /// The part that is lent lies elsewhere.
    #[error("range: {0} lies outside {1}")]
    Span(Range, IpNetwork),
    /// Something is excluded that is not in the network.
    #[error("exclude: {0} lies outside {1}")]
    Exclude(Range, IpNetwork),
    /// The gateway cannot be reached from the network.
    #[error("gateway: {0} is not the address of a host within {1}")]
    Gateway(IpAddr, IpNetwork),
    /// A name server of the other family.
    #[error("dns: {0} and {1} are of different families (IPv4, IPv6)")]
    Dns(IpAddr, IpNetwork),
    /// All of it is excluded.
    #[error("network: no address of {0} is left to lend (range, exclude, gateway)")]
    Empty(IpNetwork),
}

impl Pool {
    /// Checks the settings, and returns everything that is wrong with them at once.
    pub fn new(settings: PoolSettings) -> Result<Self, Vec<PoolError>> {
        let mut wrong = settings.wrong();
        let usable = settings.usable();
        if wrong.is_empty() && usable.is_empty() {
            wrong.push(PoolError::Empty(settings.network));
        }
        if wrong.is_empty() { Ok(Self { settings, usable }) } else { Err(wrong) }
    }

    /// The interface that its addresses are added to.
    pub fn interface(&self) -> &Interface {
        &self.settings.interface
    }

    /// Its network.
    pub fn network(&self) -> IpNetwork {
        self.settings.network
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        Family::of(self.settings.network.ip())
    }

    /// The way to other networks.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.settings.gateway
    }

    /// Name servers.
    pub fn dns(&self) -> &[IpAddr] {
        &self.settings.dns
    }

    /// The claimed range: no other pool may overlap it.
    pub fn claim(&self) -> Range {
        self.settings.claim()
    }

    /// The addresses that are lent, at most [`MAX_LENT`], in order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'_> {
        self.usable.iter().flat_map(Range::addresses).take(MAX_LENT)
    }
}

impl PoolSettings {
    fn claim(&self) -> Range {
        self.span.unwrap_or_else(|| Range::network(self.network))
    }

    /// The addresses that no host can have: the first of a network and, in IPv4, the broadcast
    /// address. Networks of one or two addresses have none of these.
    fn reserved(&self) -> Vec<Range> {
        let (network, family) = (self.network, Family::of(self.network.ip()));
        if network.prefix() + 1 >= family.bits() {
            return Vec::new();
        }
        let broadcast = (family == Family::V4).then(|| Range::single(network.broadcast()));
        [Range::single(network.network())].into_iter().chain(broadcast).collect()
    }

    fn usable(&self) -> Vec<Range> {
        let gateway = self.gateway.map(Range::single);
        let holes = self.reserved().into_iter().chain(gateway).chain(self.exclude.iter().copied());
        holes.fold(vec![self.claim()], |left, hole| {
            left.iter().flat_map(|range| range.without(&hole)).collect()
        })
    }

    fn wrong(&self) -> Vec<PoolError> {
        let network = self.network;
        let (all, family) = (Range::network(network), Family::of(network.ip()));
        let mut wrong = Vec::new();
        if network.ip() != network.network()
            && let Ok(own) = IpNetwork::new(network.network(), network.prefix())
        {
            wrong.push(PoolError::HostBits(network, own));
        }
        wrong.extend(unfit(network).map(|why| PoolError::Kind(network, why)));
        let inside = |range: &Range| all.contains(range.first()) && all.contains(range.last());
        wrong.extend(self.span.filter(|span| !inside(span)).map(|it| PoolError::Span(it, network)));
        let outside = self.exclude.iter().filter(|range| !all.overlaps(range));
        wrong.extend(outside.map(|range| PoolError::Exclude(*range, network)));
        let reserved = self.reserved();
        let host =
            |it: IpAddr| all.contains(it) && !reserved.iter().any(|range| range.contains(it));
        wrong
            .extend(self.gateway.filter(|it| !host(*it)).map(|it| PoolError::Gateway(it, network)));
        let other = self.dns.iter().filter(|server| Family::of(**server) != family);
        wrong.extend(other.map(|server| PoolError::Dns(*server, network)));
        wrong
    }
}

/// Why no interface can have addresses of a network.
fn unfit(network: IpNetwork) -> Option<&'static str> {
    match network.ip() {
        it if it.is_multicast() => Some("multicast addresses"),
        it if it.is_unspecified() => Some("the unspecified address"),
        IpAddr::V6(it) if it.is_unicast_link_local() => {
            Some("link-local addresses mean a different host on each link")
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pool of this network without anything else.
    pub(crate) fn settings(network: &str) -> PoolSettings {
        PoolSettings {
            interface: Interface::parse("em1").unwrap(),
            network: network.parse().unwrap(),
            span: None,
            exclude: Vec::new(),
            gateway: None,
            dns: Vec::new(),
        }
    }

    fn addresses(settings: PoolSettings) -> Vec<String> {
        Pool::new(settings).unwrap().addresses().map(|it| it.to_string()).collect()
    }

    #[test]
    fn neither_the_network_nor_the_broadcast_address_nor_the_gateway_is_lent() {
        let gateway = "10.9.0.1".parse().ok();
        let found = addresses(PoolSettings { gateway, ..settings("10.9.0.0/29") });
        assert_eq!(found, ["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "10.9.0.6"]);
        let gateway = "fd00:9::1".parse().ok();
        let found = addresses(PoolSettings { gateway, ..settings("fd00:9::/126") });
        assert_eq!(found, ["fd00:9::2", "fd00:9::3"]);
    }

    #[test]
    fn networks_of_one_and_two_addresses_lend_them_all() {
        assert_eq!(addresses(settings("10.9.0.4/31")), ["10.9.0.4", "10.9.0.5"]);
        assert_eq!(addresses(settings("10.9.0.4/32")), ["10.9.0.4"]);
        assert_eq!(addresses(settings("fd00::4/127")), ["fd00::4", "fd00::5"]);
        assert_eq!(addresses(settings("fd00::4/128")), ["fd00::4"]);
    }

    #[test]
    fn what_is_excluded_is_not_lent() {
        let exclude = ["10.9.0.0/30", "10.9.0.9", "10.9.0.11-10.9.0.13"];
        let exclude = exclude.map(|text| text.parse().unwrap()).to_vec();
        let found = addresses(PoolSettings { exclude, ..settings("10.9.0.0/28") });
        let left =
            ["10.9.0.4", "10.9.0.5", "10.9.0.6", "10.9.0.7", "10.9.0.8", "10.9.0.10", "10.9.0.14"];
        assert_eq!(found, left);
    }

    #[test]
    fn a_huge_network_is_not_counted_through_and_lends_the_first_so_many() {
        let exclude = vec!["fd00:9::/65".parse().unwrap()];
        let pool = Pool::new(PoolSettings { exclude, ..settings("fd00:9::/64") }).unwrap();
        assert_eq!(pool.addresses().next().unwrap().to_string(), "fd00:9:0:0:8000::");
        assert_eq!(pool.addresses().count(), MAX_LENT);
        assert_eq!(Pool::new(settings("10.0.0.0/8")).unwrap().addresses().count(), MAX_LENT);
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let wrong = PoolSettings {
            exclude: vec!["10.8.0.1".parse().unwrap()],
            gateway: "10.9.1.1".parse().ok(),
            dns: vec!["fd00::1".parse().unwrap()],
            ..settings("10.9.0.5/24")
        };
        let wrong: Vec<_> = Pool::new(wrong).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert!(wrong[0].contains("10.9.0.0/24"), "{wrong:?}");
    }

    #[test]
    fn networks_whose_addresses_no_interface_can_have_are_refused() {
        for network in ["224.0.0.0/24", "ff02::/64", "fe80::/64", "0.0.0.0/0", "::/0"] {
            assert!(Pool::new(settings(network)).is_err(), "{network}");
        }
        let exclude = vec!["10.9.0.0/24".parse().unwrap()];
        let empty = Pool::new(PoolSettings { exclude, ..settings("10.9.0.0/24") }).unwrap_err();
        assert!(matches!(empty[..], [PoolError::Empty(_)]));
        let gateway = "10.9.0.255".parse().ok();
        assert!(Pool::new(PoolSettings { gateway, ..settings("10.9.0.0/24") }).is_err());
    }
}
