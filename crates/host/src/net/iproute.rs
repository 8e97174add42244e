//! Linux's ip(8) and bridge(8): bridges, and the cables from a bridge to an island's namespace.
//!
//! A cable is a veth pair: a port on the bridge, and `eth0` in the namespace. Names and hardware
//! addresses are derived from the IP address, so that a later cable for it is the same machine to
//! its neighbours. Ports are isolated: they reach the bridge, never each other, learn no addresses,
//! and receive only packets for their own address.

use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::exec::{Command, ExecError, Executor};
use crate::net::interface::Interface;
use crate::net::lease::Lease;

/// How long one of these commands may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The prefix of the names of the server's ports.
const PREFIX: &str = "si";
/// How many bytes of an address's hash are in the name of its port.
const HASH: usize = 5;
/// The name of the cable's end in the namespace.
const INSIDE: &str = "eth0";
/// The first byte of a locally administered hardware address.
const LOCAL: u8 = 0x02;

/// A network that could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum IprouteError {
    /// A program is missing.
    #[error("{0} cannot be run: install iproute2 (ip, bridge) and util-linux (nsenter)")]
    Missing(&'static str, #[source] ExecError),
    /// A command failed.
    #[error("a command of iproute2 failed")]
    Command(#[from] ExecError),
    /// The output of a command cannot be parsed.
    #[error("the output of ip is not the expected JSON")]
    Unreadable(#[from] serde_json::Error),
}

/// An interface as the host has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NetworkLink {
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// The alias text of the interface.
    #[serde(default, rename = "ifalias")]
    pub alias: Option<String>,
    #[serde(default)]
    linkinfo: LinkInfo,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct LinkInfo {
    #[serde(default)]
    info_kind: Option<String>,
}

impl NetworkLink {
    /// Whether it is a bridge.
    pub fn is_bridge(&self) -> bool {
        self.linkinfo.info_kind.as_deref() == Some("bridge")
    }
}

/// The end of a cable that is on the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    name: Interface,
    /// The hardware address of the other end.
    hardware: String,
}

impl Port {
    /// The port for an address.
    pub fn of(address: IpAddr) -> Option<Self> {
        let hash = match address {
            IpAddr::V4(address) => Sha256::digest(address.octets()),
            IpAddr::V6(address) => Sha256::digest(address.octets()),
        };
        let hex: Vec<_> = hash[..HASH].iter().map(|byte| format!("{byte:02x}")).collect();
        let name = Interface::parse(&format!("{PREFIX}{}", hex.concat())).ok()?;
        Some(Self { name, hardware: format!("{LOCAL:02x}:{}", hex.join(":")) })
    }

    /// Its name.
    pub fn name(&self) -> &Interface {
        &self.name
    }

    /// Whether an interface has a name that only the server's ports have.
    pub fn is_one(name: &str) -> bool {
        let hex = |rest: &str| rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        name.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == 2 * HASH && hex(rest))
    }
}

fn ip() -> Command {
    Command::program("ip").deadline(DEADLINE)
}

async fn run(exec: &dyn Executor, command: Command) -> Result<String, IprouteError> {
    Ok(exec.run(&command).await?.success(&command)?)
}

/// Checks that the needed programs are installed.
pub async fn tools(exec: &dyn Executor) -> Result<(), IprouteError> {
    for (program, version) in [("ip", "-V"), ("bridge", "-V"), ("nsenter", "-V")] {
        let command = Command::program(program).arg(version).deadline(DEADLINE);
        exec.run(&command).await.map_err(|error| IprouteError::Missing(program, error))?;
    }
    Ok(())
}

async fn read<T: DeserializeOwned>(
    exec: &dyn Executor,
    args: &[&str],
) -> Result<Vec<T>, IprouteError> {
    let printed = run(exec, ip().args(args)).await?;
    // Some versions print nothing for an empty list.
    if printed.trim().is_empty() { Ok(Vec::new()) } else { Ok(serde_json::from_str(&printed)?) }
}

/// An interface by its name, if it exists.
pub async fn link(
    exec: &dyn Executor,
    name: &Interface,
) -> Result<Option<NetworkLink>, IprouteError> {
    match read(exec, &["-d", "-j", "link", "show", "dev", name.as_str()]).await {
        Ok(found) => Ok(found.into_iter().next()),
        Err(IprouteError::Command(error)) if error.stderr().contains("does not exist") => Ok(None),
        Err(error) => Err(error),
    }
}

/// The addresses of an interface.
pub async fn addresses(exec: &dyn Executor, name: &Interface) -> Result<Vec<IpAddr>, IprouteError> {
    #[derive(Deserialize)]
    struct LinkAddresses {
        #[serde(default)]
        addr_info: Vec<LinkAddress>,
    }
    #[derive(Deserialize)]
    struct LinkAddress {
        local: Option<IpAddr>,
    }
    let links: Vec<LinkAddresses> =
        read(exec, &["-j", "addr", "show", "dev", name.as_str()]).await?;
    let addresses = links.into_iter().flat_map(|link| link.addr_info);
    Ok(addresses.filter_map(|address| address.local).collect())
}

/// The names of a bridge's ports.
pub async fn ports(exec: &dyn Executor, bridge: &Interface) -> Result<Vec<String>, IprouteError> {
    #[derive(Deserialize)]
    struct LinkName {
        ifname: Option<String>,
    }
    let links: Vec<LinkName> =
        read(exec, &["-j", "link", "show", "master", bridge.as_str()]).await?;
    Ok(links.into_iter().filter_map(|link| link.ifname).collect())
}

/// Creates a bridge with `mark` as its alias text. The bridge is not up yet.
pub async fn add_bridge(
    exec: &dyn Executor,
    name: &Interface,
    mark: &str,
) -> Result<(), IprouteError> {
    run(exec, ip().args(["link", "add", "dev", name.as_str(), "type", "bridge"])).await?;
    run(exec, ip().args(["link", "set", "dev", name.as_str(), "alias", mark])).await?;
    Ok(())
}

/// Adds an address with its network to an interface; an existing address stays.
pub async fn add_address(
    exec: &dyn Executor,
    name: &Interface,
    address: IpNetwork,
) -> Result<(), IprouteError> {
    let text = address.to_string();
    run(exec, at_once(address.ip(), ip().args(["addr", "replace", &text, "dev", name.as_str()])))
        .await?;
    Ok(())
}

/// Skips the check for duplicates: no other machine has an address of a pool.
fn at_once(address: IpAddr, command: Command) -> Command {
    if address.is_ipv6() { command.arg("nodad") } else { command }
}

/// Sets an interface up.
pub async fn up(exec: &dyn Executor, name: &Interface) -> Result<(), IprouteError> {
    run(exec, ip().args(["link", "set", "dev", name.as_str(), "up"])).await?;
    Ok(())
}

/// Removes an interface; removing one end of a cable removes the other. A missing interface is no
/// error.
pub async fn remove(exec: &dyn Executor, name: &str) -> Result<(), IprouteError> {
    match run(exec, ip().args(["link", "del", "dev", name])).await {
        Err(IprouteError::Command(error)) if error.stderr().contains("Cannot find device") => {
            Ok(())
        }
        done => done.map(|_| ()),
    }
}

/// A cable to be laid.
pub struct Cable<'a> {
    /// The end on the bridge.
    pub port: &'a Port,
    /// The address, the bridge and the way out.
    pub lease: &'a Lease,
    /// The path of the network namespace that the other end goes to.
    pub namespace: &'a str,
    /// The bridge's largest packet, which both ends have too, for a bridge takes on the smallest of
    /// its ports.
    pub mtu: u32,
    /// The alias text of the port.
    pub mark: &'a str,
}

impl Cable<'_> {
    /// Lays the cable and configures both ends. After a failure, [`remove`] the port.
    pub async fn lay(&self, exec: &dyn Executor) -> Result<(), IprouteError> {
        let (port, bridge) = (self.port.name.as_str(), self.lease.interface().as_str());
        let mtu = self.mtu.to_string();
        let add = ["link", "add", "dev", port, "mtu", &mtu, "master", bridge, "up", "type", "veth"];
        let peer = ["peer", "name", INSIDE, "mtu", &mtu, "address", &self.port.hardware];
        run(exec, ip().args(add).args(peer).args(["netns", self.namespace])).await?;
        // The ends are configured at the same time. A failure of one does not cancel the other.
        let (outside, inside) = tokio::join!(self.seclude(exec), self.configure(exec));
        outside.and(inside)
    }

    /// The end on the bridge.
    async fn seclude(&self, exec: &dyn Executor) -> Result<(), IprouteError> {
        let (port, hardware) = (self.port.name.as_str(), &self.port.hardware);
        let alone = ["isolated", "on", "learning", "off", "flood", "off", "hairpin", "off"];
        let set = ["link", "set", "dev", port, "alias", self.mark, "type", "bridge_slave"];
        run(exec, ip().args(set).args(alone)).await?;
        let entry = ["fdb", "replace", hardware, "dev", port, "master", "static"];
        run(exec, Command::program("bridge").args(entry).deadline(DEADLINE)).await?;
        Ok(())
    }

    /// Configures the end in the namespace, without automatic IPv6 addresses.
    async fn configure(&self, exec: &dyn Executor) -> Result<(), IprouteError> {
        let address = format!("{}/{}", self.lease.address(), self.lease.prefix());
        self.inside(exec, &["link", "set", "dev", "lo", "up"]).await?;
        self.inside(exec, &["link", "set", "dev", INSIDE, "addrgenmode", "none", "up"]).await?;
        let add = self.command(&["addr", "add", &address, "dev", INSIDE]);
        run(exec, at_once(self.lease.address(), add)).await?;
        if let Some(gateway) = self.lease.gateway() {
            let gateway = gateway.to_string();
            self.inside(exec, &["route", "add", "default", "via", &gateway, "dev", INSIDE]).await?;
        }
        Ok(())
    }

    async fn inside(&self, exec: &dyn Executor, args: &[&str]) -> Result<(), IprouteError> {
        run(exec, self.command(args)).await?;
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let net = format!("--net={}", self.namespace);
        Command::program("nsenter").arg(net).arg("ip").args(args).deadline(DEADLINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;
    use crate::net::pool::{Pool, PoolSettings};
    use crate::net::pools::Pools;
    use crate::net::range::Family;

    fn name(text: &str) -> Interface {
        Interface::parse(text).unwrap()
    }

    fn lease(network: &str, gateway: &str) -> Lease {
        let settings = PoolSettings {
            interface: name("br0"),
            network: network.parse().unwrap(),
            span: None,
            exclude: Vec::new(),
            gateway: gateway.parse().ok(),
            dns: Vec::new(),
        };
        let pools = Pools::new(vec![Pool::new(settings).unwrap()]);
        pools.lease(Family::V4).or_else(|_| pools.lease(Family::V6)).unwrap()
    }

    #[test]
    fn a_ports_name_and_hardware_address_follow_from_its_address() {
        let port = Port::of("10.9.0.2".parse().unwrap()).unwrap();
        assert_eq!(port, Port::of("10.9.0.2".parse().unwrap()).unwrap());
        assert_ne!(port, Port::of("10.9.0.3".parse().unwrap()).unwrap());
        assert!(Port::is_one(port.name().as_str()), "{port:?}");
        assert_eq!(port.hardware.replace(':', ""), port.name().as_str().replacen("si", "02", 1));
        for other in ["eth0", "si", "si0", "si012345678g", "si0123456789a", "veth0123456789"] {
            assert!(!Port::is_one(other), "{other}");
        }
    }

    #[tokio::test]
    async fn a_cable_is_laid_from_the_bridge_to_the_namespace_before_anything_runs() {
        let lease = lease("10.9.0.0/24", "10.9.0.1");
        let port = Port::of(lease.address()).unwrap();
        let (si, mac) = (port.name(), &port.hardware);
        let script = Script::new()
            .quiet(&format!(
                "ip link add dev {si} mtu 1400 master br0 up type veth peer name eth0 mtu 1400 address {mac} netns /proc/7/fd/9"
            ))
            .quiet(&format!(
                "ip link set dev {si} alias si_1 type bridge_slave isolated on learning off flood off hairpin off"
            ))
            .quiet(&format!("bridge fdb replace {mac} dev {si} master static"))
            .quiet("nsenter --net=/proc/7/fd/9 ip link set dev lo up")
            .quiet("nsenter --net=/proc/7/fd/9 ip link set dev eth0 addrgenmode none up")
            .quiet("nsenter --net=/proc/7/fd/9 ip addr add 10.9.0.2/24 dev eth0")
            .quiet("nsenter --net=/proc/7/fd/9 ip route add default via 10.9.0.1 dev eth0");
        let cable = Cable {
            port: &port,
            lease: &lease,
            namespace: "/proc/7/fd/9",
            mtu: 1400,
            mark: "si_1",
        };
        cable.lay(&script).await.unwrap();
        assert!(script.left().is_empty());
    }

    #[tokio::test]
    async fn an_ipv6_address_is_usable_at_once_and_without_a_gateway_there_is_no_way_out() {
        let lease = lease("fd00:9::/64", "");
        let port = Port::of(lease.address()).unwrap();
        let script = Script::new()
            .quiet("nsenter --net=/n ip link set dev lo up")
            .quiet("nsenter --net=/n ip link set dev eth0 addrgenmode none up")
            .quiet("nsenter --net=/n ip addr add fd00:9::1/64 dev eth0 nodad");
        let cable = Cable { port: &port, lease: &lease, namespace: "/n", mtu: 1500, mark: "si_1" };
        cable.configure(&script).await.unwrap();
        assert!(script.left().is_empty());
    }

    #[tokio::test]
    async fn a_bridge_another_interface_and_none_are_told_apart() {
        let bridge = r#"[{"ifindex":2,"ifname":"br0","flags":["UP"],"mtu":1500,"linkinfo":{"info_kind":"bridge",
            "info_data":{"forward_delay":1500}},"ifalias":"sky-island"}]"#;
        let other = r#"[{"ifindex":1,"ifname":"eth0","flags":["UP"],"mtu":9000}]"#;
        let script = Script::new()
            .expect("ip -d -j link show dev br0", 0, bridge, "")
            .expect("ip -d -j link show dev eth0", 0, other, "")
            .expect("ip -d -j link show dev br1", 1, "", "Device \"br1\" does not exist.\n");
        let found = link(&script, &name("br0")).await.unwrap().unwrap();
        assert!(found.is_bridge() && found.alias.as_deref() == Some("sky-island"));
        let found = link(&script, &name("eth0")).await.unwrap().unwrap();
        assert!(!found.is_bridge() && found.mtu == 9000);
        assert_eq!(link(&script, &name("br1")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn ports_and_addresses_are_read_and_none_is_no_error() {
        let addresses_of = r#"[{"ifname":"br0","addr_info":[{"family":"inet","local":"10.9.0.1","prefixlen":24},
            {"family":"inet6","local":"fe80::1","prefixlen":64}]}]"#;
        let script = Script::new()
            .expect(
                "ip -j link show master br0",
                0,
                r#"[{"ifname":"si0123456789"},{"ifname":"eth1"}]"#,
                "",
            )
            .expect("ip -j link show master br0", 0, "", "")
            .expect("ip -j link show master br0", 0, "[]\n", "")
            .expect("ip -j addr show dev br0", 0, addresses_of, "");
        assert_eq!(ports(&script, &name("br0")).await.unwrap(), ["si0123456789", "eth1"]);
        assert!(ports(&script, &name("br0")).await.unwrap().is_empty());
        assert!(ports(&script, &name("br0")).await.unwrap().is_empty());
        let found: [IpAddr; 2] = ["10.9.0.1".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(addresses(&script, &name("br0")).await.unwrap(), found);
    }

    #[tokio::test]
    async fn what_is_gone_is_removed_and_what_cannot_be_is_not() {
        let script = Script::new()
            .expect("ip link del dev si0", 1, "", "Cannot find device \"si0\"\n")
            .expect("ip link del dev si0", 2, "", "RTNETLINK answers: Operation not permitted\n");
        remove(&script, "si0").await.unwrap();
        assert!(remove(&script, "si0").await.is_err());
    }
}
