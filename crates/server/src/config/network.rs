//! The addresses of islands: one range by its keys of 2017, and pools.

use std::net::{IpAddr, Ipv4Addr};

use host::net::{Interface, Pool, PoolSettings, Range};
use ipnetwork::{IpNetwork, Ipv4Network};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most pools.
const MOST_POOLS: usize = 256;

/// The addresses that calls can ask for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// One range of IPv4 addresses, by its keys of 2017.
    pub ip4: Option<Ip4>,
    /// Pools of addresses, IPv4 or IPv6.
    #[schemars(example = pools_example())]
    pub pools: Vec<PoolConfig>,
}

/// A range of addresses within one network, from `start_addr` to the address whose last octet is
/// `range`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ip4 {
    /// The interface that the addresses are added to; on Linux, a bridge.
    #[schemars(example = &"em0")]
    pub interface: String,
    /// The first address of the range.
    #[schemars(example = &"192.168.0.20")]
    pub start_addr: Ipv4Addr,
    /// The network mask.
    #[schemars(example = &"255.255.255.0")]
    pub mask: Ipv4Addr,
    /// The last octet of the last address of the range.
    #[schemars(example = 220)]
    pub range: u8,
    /// The gateway of islands that have an address.
    #[schemars(example = &"192.168.0.1", extend("x-default" = "none"))]
    pub gateway: Option<Ipv4Addr>,
    /// The name servers of islands that have an address. On FreeBSD `init` writes them into the
    /// base system's resolv.conf, too.
    #[serde(default)]
    #[schemars(example = ["9.9.9.9"])]
    pub dns: Vec<Ipv4Addr>,
}

/// A pool of addresses.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// The interface that the addresses are added to; on Linux, a bridge.
    #[schemars(example = &"em1")]
    pub interface: String,
    /// The network whose addresses are lent, such as `10.9.0.0/24` or `fd00:9::/64`.
    #[schemars(example = &"10.9.0.0/24")]
    pub network: String,
    /// Addresses of the network that are never lent: single ones, networks, and ranges such as
    /// `10.9.0.200-10.9.0.210`.
    #[serde(default)]
    #[schemars(example = ["10.9.0.200-10.9.0.210"])]
    pub exclude: Vec<String>,
    /// The gateway of islands that have an address of this pool.
    #[schemars(example = &"10.9.0.1", extend("x-default" = "none"))]
    pub gateway: Option<IpAddr>,
    /// The name servers of islands that have an address of this pool.
    #[serde(default)]
    #[schemars(example = ["10.9.0.1"])]
    pub dns: Vec<IpAddr>,
}

fn pools_example() -> serde_json::Value {
    serde_json::json!([{"interface": "em1", "network": "10.9.0.0/24", "gateway": "10.9.0.1"}])
}

type Problems = Vec<String>;

impl Network {
    /// The problems of all pools.
    pub(super) fn problems(&self) -> Problems {
        self.read().1
    }

    /// All pools of a valid configuration, the one of `ip4` first.
    pub fn pools(&self) -> Vec<Pool> {
        self.read().0
    }

    fn read(&self) -> (Vec<Pool>, Problems) {
        let ip4 = self.ip4.iter().map(|ip4| ("network.ip4".to_owned(), ip4.pool()));
        let pools = self.pools.iter().take(MOST_POOLS).enumerate();
        let pools = pools.map(|(index, form)| (format!("network.pools[{index}]"), form.pool()));
        let mut problems = Vec::new();
        let mut named = Vec::new();
        if self.pools.len() > MOST_POOLS {
            problems.push(format!(
                "network.pools: {} pools are more than {MOST_POOLS}; remove some",
                self.pools.len()
            ));
        }
        for (name, read) in ip4.chain(pools) {
            match read {
                Ok(pool) => named.push((name, pool)),
                Err(wrong) => problems.extend(wrong.iter().map(|it| format!("{name}.{it}"))),
            }
        }
        for (index, (later, pool)) in named.iter().enumerate() {
            let earlier = named[..index].iter();
            for (name, other) in earlier.filter(|(_, other)| other.claim().overlaps(&pool.claim()))
            {
                let (one, two) = (other.claim(), pool.claim());
                problems.push(format!(
                    "{later}: {two} overlaps {one} of {name}; give each pool addresses of its own"
                ));
            }
        }
        (named.into_iter().map(|(_, pool)| pool).collect(), problems)
    }
}

impl Ip4 {
    fn pool(&self) -> Result<Pool, Problems> {
        let mut problems = Vec::new();
        let interface = read(&mut problems, "interface", Interface::parse(&self.interface));
        let [a, b, c, first] = self.start_addr.octets();
        let last = Ipv4Addr::from([a, b, c, self.range]);
        let span = Range::new(self.start_addr.into(), last.into());
        if span.is_none() {
            let range = self.range;
            problems.push(format!("range: {range} is less than {first}, the last octet of start_addr; set the last octet of the last address"));
        }
        let mask = Ipv4Network::with_netmask(self.start_addr, self.mask);
        let network = match mask.and_then(|it| Ipv4Network::new(it.network(), it.prefix())) {
            Ok(network) => Some(network),
            Err(_) => {
                problems.push(format!(
                    "mask: {} is not a network mask; write one such as 255.255.255.0",
                    self.mask
                ));
                None
            }
        };
        if let (Some(network), Some(_)) = (network, span)
            && !network.contains(last)
        {
            problems.push(format!(
                "range: {last} is outside {network}, the network of start_addr and mask"
            ));
        }
        let (true, Some(interface), Some(network)) = (problems.is_empty(), interface, network)
        else {
            return Err(problems);
        };
        settle(PoolSettings {
            interface,
            network: network.into(),
            span,
            exclude: Vec::new(),
            gateway: self.gateway.map(IpAddr::from),
            dns: self.dns.iter().copied().map(IpAddr::from).collect(),
        })
    }
}

impl PoolConfig {
    fn pool(&self) -> Result<Pool, Problems> {
        let mut problems = Vec::new();
        let interface = read(&mut problems, "interface", Interface::parse(&self.interface));
        let network = match self.network.parse::<IpNetwork>() {
            Ok(network) if self.network.contains('/') => Some(network),
            _ => {
                problems.push(format!(
                    "network: {:?} is not a network; write one such as 10.9.0.0/24",
                    self.network
                ));
                None
            }
        };
        let exclude = self.exclude.iter().map(|text| text.parse::<Range>());
        let exclude: Vec<_> =
            exclude.filter_map(|range| read(&mut problems, "exclude", range)).collect();
        let (true, Some(interface), Some(network)) = (problems.is_empty(), interface, network)
        else {
            return Err(problems);
        };
        let (gateway, dns) = (self.gateway, self.dns.clone());
        settle(PoolSettings { interface, network, span: None, exclude, gateway, dns })
    }
}

fn settle(settings: PoolSettings) -> Result<Pool, Problems> {
    Pool::new(settings).map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
}

fn read<T, E: std::fmt::Display>(
    problems: &mut Problems,
    key: &str,
    result: Result<T, E>,
) -> Option<T> {
    result.map_err(|error| problems.push(format!("{key}: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(json: &str) -> Network {
        serde_json::from_str(json).unwrap()
    }

    fn ip4(changed: &str) -> Network {
        let keys = r#""interface": "em0", "mask": "255.255.255.0", "start_addr": "192.168.0.20", "range": 220,
            "gateway": "192.168.0.1""#;
        let mut keys: serde_json::Value = serde_json::from_str(&format!("{{{keys}}}")).unwrap();
        let changed: serde_json::Value = serde_json::from_str(changed).unwrap();
        for (key, value) in changed.as_object().unwrap() {
            keys[key] = value.clone();
        }
        Network { ip4: Some(serde_json::from_value(keys).unwrap()), pools: Vec::new() }
    }

    fn problem(network: &Network) -> String {
        let problems = network.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].clone()
    }

    #[test]
    fn the_range_of_2017_ends_with_the_address_of_that_last_octet() {
        let pools = ip4("{}").pools();
        let addresses: Vec<_> = pools[0].addresses().map(|it| it.to_string()).collect();
        assert_eq!(addresses.len(), 201);
        assert_eq!((&*addresses[0], &*addresses[200]), ("192.168.0.20", "192.168.0.220"));
        assert_eq!(pools[0].network().to_string(), "192.168.0.0/24");
    }

    #[test]
    fn each_mistake_in_the_keys_of_2017_is_named() {
        for (changed, part) in [
            (r#"{"range": 19}"#, "network.ip4.range: 19 is less than"),
            (r#"{"mask": "255.0.255.0"}"#, "network.ip4.mask"),
            (r#"{"mask": "255.255.255.192"}"#, "192.168.0.220 is outside 192.168.0.0/26"),
            (r#"{"gateway": "192.168.1.1"}"#, "gateway: 192.168.1.1"),
            (r#"{"interface": "em 0"}"#, "network.ip4.interface"),
        ] {
            let problem = problem(&ip4(changed));
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn pools_of_both_families_are_read() {
        let network = network(
            r#"{"pools": [
                {"interface": "em1", "network": "10.9.0.0/24", "gateway": "10.9.0.1", "dns": ["10.9.0.1"],
                 "exclude": ["10.9.0.2", "10.9.0.16/28", "10.9.0.200-10.9.0.254"]},
                {"interface": "em1", "network": "fd00:9::/64"}]}"#,
        );
        assert_eq!(network.problems(), [""; 0]);
        let pools = network.pools();
        assert_eq!(pools[0].addresses().count(), 254 - 1 - 1 - 16 - 55);
        assert_eq!(pools[1].addresses().next().unwrap().to_string(), "fd00:9::1");
    }

    #[test]
    fn pools_that_overlap_are_both_named() {
        let mut network = network(
            r#"{"pools": [{"interface": "a", "network": "10.0.0.0/8"}, {"interface": "b", "network": "10.9.0.0/24"}]}"#,
        );
        let overlap = problem(&network);
        assert!(
            overlap.contains("network.pools[0]") && overlap.contains("network.pools[1]"),
            "{overlap}"
        );
        network.pools.truncate(1);
        network.pools[0].network = "192.168.0.0/24".into();
        network.ip4 = ip4("{}").ip4;
        let overlap = problem(&network);
        assert!(
            overlap.contains("network.ip4") && overlap.contains("network.pools[0]"),
            "{overlap}"
        );
        network.pools[0].network = "192.168.0.240/28".into();
        assert_eq!(network.problems(), [""; 0]);
    }

    #[test]
    fn all_mistakes_of_all_pools_are_named_at_once() {
        let network = network(
            r#"{"pools": [
                {"interface": "-x", "network": "10.9.0.0", "exclude": ["y", "10.9.0.9-10.9.0.1"]},
                {"interface": "em1", "network": "fd00::1/64", "gateway": "10.0.0.1", "dns": ["10.0.0.1"]}]}"#,
        );
        let problems = network.problems();
        assert_eq!(problems.len(), 4 + 3, "{problems:?}");
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text =
            r#"{"pools": [{"interface": "a", "network": "10.0.0.0/8", "gate": "10.0.0.1"}]}"#;
        assert!(serde_json::from_str::<Network>(text).is_err());
    }
}
