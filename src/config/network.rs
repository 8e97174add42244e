//! The pool of addresses, by its keys of 2017.

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use serde::Deserialize;

/// The addresses that islands may have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// One range of IPv4 addresses.
    pub ip4: Option<Ip4>,
}

/// A range within one network, from `start_addr` to the address whose last octet is `range`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ip4 {
    /// The interface that the addresses are added to.
    pub interface: String,
    /// The first address.
    pub start_addr: Ipv4Addr,
    /// The network's mask.
    pub mask: Ipv4Addr,
    /// The last octet of the last address.
    pub range: u8,
    /// The gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<Ipv4Addr>,
}

impl Network {
    /// What is wrong with it.
    pub(super) fn problems(&self) -> Vec<String> {
        let Some(ip4) = &self.ip4 else { return Vec::new() };
        let mut problems = Vec::new();
        let last = ip4.start_addr.octets()[3];
        if ip4.range < last {
            problems.push(format!(
                "network.ip4.range: {} lies before start_addr's last octet {last}",
                ip4.range
            ));
        }
        match Ipv4Network::with_netmask(ip4.start_addr, ip4.mask) {
            Err(_) => problems.push(format!("network.ip4.mask: {} is no network mask", ip4.mask)),
            Ok(network) => {
                if ip4.gateway.is_some_and(|gateway| !network.contains(gateway)) {
                    problems.push(
                        "network.ip4.gateway: lies outside the network of start_addr and mask"
                            .into(),
                    );
                }
            }
        }
        problems
    }
}
