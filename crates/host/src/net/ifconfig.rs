//! FreeBSD's ifconfig(8): adds, removes and lists the addresses of an interface.
//!
//! An address is added with the prefix of itself alone, as an alias beside the host's own. FreeBSD
//! checks a new IPv6 address for duplicates on the link, which takes about a second; the address
//! cannot be used meanwhile. Only the whole interface can skip the check (`no_dad`), and the
//! interface belongs to the host: [`add`] waits instead. Loopback interfaces check nothing.

use std::net::IpAddr;
use std::time::Duration;

use crate::exec::Command;
use crate::exec::{ExecError, Executor};
use crate::net::interface::Interface;
use crate::net::range::Family;

/// How long one of these commands may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long an IPv6 address may be tentative, and how often the state is read.
const TENTATIVE: Duration = Duration::from_secs(5);
const TENTATIVE_POLL: Duration = Duration::from_millis(100);

/// An address that an interface has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address, without its scope.
    pub address: IpAddr,
    /// The prefix length, in bits.
    pub prefix: u8,
    /// The system still checks for duplicates on the link.
    pub tentative: bool,
    /// Another host on the link has it.
    pub duplicated: bool,
}

/// An interface that could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum IfconfigError {
    /// No interface has the name.
    #[error("there is no interface {0}; `ifconfig -l` lists them")]
    NoInterface(Interface),
    /// Another host on the link has the address.
    #[error("another host on the link of {0} uses {1} already; exclude it from the pool")]
    Duplicated(Interface, IpAddr),
    /// An IPv6 address did not become usable.
    #[error("the check of {1} on {0} for duplicates did not end within {TENTATIVE:?}")]
    Tentative(Interface, IpAddr),
    /// The command failed.
    #[error("ifconfig failed")]
    Command(#[from] ExecError),
    /// The output has no valid address.
    #[error("the output of ifconfig has the line {0:?}, which is no address")]
    Unreadable(String),
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "inet" } else { "inet6" }
}

async fn run(
    exec: &dyn Executor,
    interface: &Interface,
    args: &[&str],
) -> Result<String, IfconfigError> {
    let command = Command::program("ifconfig").args(args).deadline(DEADLINE);
    let missing = format!("interface {interface} does not exist");
    match exec.run(&command).await?.success(&command) {
        Ok(printed) => Ok(printed),
        Err(error) if error.stderr().contains(&missing) => {
            Err(IfconfigError::NoInterface(interface.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Adds an address to an interface, and waits until it can be used. An existing address stays.
pub async fn add(
    exec: &dyn Executor,
    interface: &Interface,
    address: IpAddr,
) -> Result<(), IfconfigError> {
    let own = format!("{address}/{}", Family::of(address).bits());
    run(exec, interface, &[interface.as_str(), family(address), &own, "alias"]).await?;
    if address.is_ipv6() { usable(exec, interface, address).await } else { Ok(()) }
}

async fn usable(
    exec: &dyn Executor,
    interface: &Interface,
    address: IpAddr,
) -> Result<(), IfconfigError> {
    let until = tokio::time::Instant::now() + TENTATIVE;
    loop {
        let found = addresses(exec, interface).await?;
        match found.iter().find(|found| found.address == address) {
            Some(InterfaceAddress { duplicated: true, .. }) => {
                return Err(IfconfigError::Duplicated(interface.clone(), address));
            }
            Some(InterfaceAddress { tentative: false, .. }) => return Ok(()),
            _ if tokio::time::Instant::now() >= until => {
                return Err(IfconfigError::Tentative(interface.clone(), address));
            }
            _ => tokio::time::sleep(TENTATIVE_POLL).await,
        }
    }
}

/// Removes an address from an interface. A missing address is no error.
pub async fn remove(
    exec: &dyn Executor,
    interface: &Interface,
    address: IpAddr,
) -> Result<(), IfconfigError> {
    let text = address.to_string();
    match run(exec, interface, &[interface.as_str(), family(address), &text, "-alias"]).await {
        Err(IfconfigError::Command(error)) if not_there(error.stderr()) => Ok(()),
        done => done.map(|_| ()),
    }
}

fn not_there(message: &str) -> bool {
    message.contains("SIOCDIFADDR") && message.contains("Can't assign requested address")
}

/// The addresses that an interface has, of both families.
pub async fn addresses(
    exec: &dyn Executor,
    interface: &Interface,
) -> Result<Vec<InterfaceAddress>, IfconfigError> {
    let printed = run(exec, interface, &["-f", "inet:cidr,inet6:cidr", interface.as_str()]).await?;
    parse(&printed)
}

/// Reads the lines that start with `inet` or `inet6`.
fn parse(printed: &str) -> Result<Vec<InterfaceAddress>, IfconfigError> {
    let mut found = Vec::new();
    for line in printed.lines() {
        let mut words = line.split_whitespace();
        if !matches!(words.next(), Some("inet" | "inet6")) {
            continue;
        }
        let address = words.next().and_then(parse_address);
        let (address, prefix) =
            address.ok_or_else(|| IfconfigError::Unreadable(line.trim().to_owned()))?;
        let flags: Vec<_> = words.collect();
        let (tentative, duplicated) = (flags.contains(&"tentative"), flags.contains(&"duplicated"));
        found.push(InterfaceAddress { address, prefix, tentative, duplicated });
    }
    Ok(found)
}

/// `10.0.2.15/24`, or `fe80::1%lo0/64` with a scope. The far end of a tunnel may have no prefix.
fn parse_address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.split('%').next()?.parse().ok()?;
    let most = Family::of(address).bits();
    let prefix = prefix.unwrap_or(most);
    (prefix <= most).then_some((address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;

    const BOTH: &str =
        "vtnet0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500
\toptions=880028<VLAN_MTU,JUMBO_MTU,LINKSTATE,HWSTATS>
\tinet 10.0.2.15/24 broadcast 10.0.2.255
\tinet 10.0.2.77/32 broadcast 10.0.2.77
";
    const LIST: &str = "ifconfig -f inet:cidr,inet6:cidr vtnet0";

    fn vtnet0() -> Interface {
        Interface::parse("vtnet0").unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_is_added_and_removed_by_its_own_prefix() {
        let script = Script::new()
            .quiet("ifconfig vtnet0 inet 10.0.2.77/32 alias")
            .quiet("ifconfig vtnet0 inet 10.0.2.77 -alias");
        add(&script, &vtnet0(), ip("10.0.2.77")).await.unwrap();
        remove(&script, &vtnet0(), ip("10.0.2.77")).await.unwrap();
        assert!(script.left().is_empty());
    }

    #[tokio::test]
    async fn an_address_that_is_gone_already_is_removed() {
        let gone = "ifconfig: ioctl (SIOCDIFADDR): Can't assign requested address\n";
        let script = Script::new().expect("ifconfig vtnet0 inet 10.0.2.77 -alias", 1, "", gone);
        remove(&script, &vtnet0(), ip("10.0.2.77")).await.unwrap();
    }

    #[tokio::test]
    async fn an_interface_that_does_not_exist_is_named() {
        let said = "ifconfig: interface vtnet0 does not exist\n";
        let script = Script::new()
            .expect("ifconfig vtnet0 inet 10.0.2.78/32 alias", 1, "", said)
            .expect("ifconfig vtnet0 inet 10.0.2.78 -alias", 1, "", said)
            .expect(LIST, 1, "", said);
        let added = add(&script, &vtnet0(), ip("10.0.2.78")).await.unwrap_err();
        let removed = remove(&script, &vtnet0(), ip("10.0.2.78")).await.unwrap_err();
        let listed = addresses(&script, &vtnet0()).await.unwrap_err();
        for error in [added, removed, listed] {
            assert!(error.to_string().starts_with("there is no interface vtnet0"), "{error}");
        }
    }

    #[tokio::test]
    async fn the_failure_of_an_ordinary_user_is_passed_on() {
        let said = "ifconfig: ioctl (SIOCAIFADDR): Operation not permitted\n";
        let script = Script::new().expect("ifconfig vtnet0 inet 10.0.2.9/32 alias", 1, "", said);
        let error = add(&script, &vtnet0(), ip("10.0.2.9")).await.unwrap_err();
        let IfconfigError::Command(error) = error else { panic!("{error}") };
        assert!(error.to_string().contains("Operation not permitted"), "{error}");
    }

    #[tokio::test]
    async fn an_interfaces_addresses_are_read() {
        let script = Script::new().expect(LIST, 0, BOTH, "");
        let found = addresses(&script, &vtnet0()).await.unwrap();
        let found: Vec<_> =
            found.iter().map(|it| format!("{}/{}", it.address, it.prefix)).collect();
        assert_eq!(found, ["10.0.2.15/24", "10.0.2.77/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_address_is_waited_for_until_it_can_be_used() {
        let line = |flags: &str| {
            format!("\tinet6 fe80::1%vtnet0/64 scopeid 0x1\n\tinet6 fd00:9::5/128{flags}\n")
        };
        let script = Script::new()
            .quiet("ifconfig vtnet0 inet6 fd00:9::5/128 alias")
            .expect(LIST, 0, &line(" tentative"), "")
            .expect(LIST, 0, &line(" tentative"), "")
            .expect(LIST, 0, &line(""), "");
        add(&script, &vtnet0(), ip("fd00:9::5")).await.unwrap();
        assert!(script.left().is_empty());
        let script = Script::new().quiet("ifconfig vtnet0 inet6 fd00:9::5/128 alias").expect(
            LIST,
            0,
            &line(" duplicated"),
            "",
        );
        let error = add(&script, &vtnet0(), ip("fd00:9::5")).await.unwrap_err();
        assert!(matches!(error, IfconfigError::Duplicated(..)), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_address_that_stays_tentative_is_not_waited_for_without_end() {
        let polls = TENTATIVE.as_millis() / TENTATIVE_POLL.as_millis() + 1;
        let script = (0..polls)
            .fold(Script::new().quiet("ifconfig vtnet0 inet6 fd00:9::5/128 alias"), |script, _| {
                script.expect(LIST, 0, "\tinet6 fd00:9::5/128 tentative\n", "")
            });
        let error = add(&script, &vtnet0(), ip("fd00:9::5")).await.unwrap_err();
        assert!(matches!(error, IfconfigError::Tentative(..)), "{error}");
    }

    #[test]
    fn scopes_flags_and_the_ends_of_tunnels_are_read() {
        let printed = "\tinet6 fe80::5054:ff:fe12:3456%em0/64 scopeid 0x1\n\tinet6 ::1/128\n\tinet 10.1.0.1 --> 10.1.0.2/32\n\
                       \tinet6 2001:db8::1/64 autoconf pltime 604800 vltime 2592000\n\tnd6 options=21<PERFORMNUD,AUTO_LINKLOCAL>\n";
        let found: Vec<_> =
            parse(printed).unwrap().iter().map(|it| (it.address, it.prefix)).collect();
        let expected =
            [("fe80::5054:ff:fe12:3456", 64), ("::1", 128), ("10.1.0.1", 32), ("2001:db8::1", 64)];
        assert_eq!(found, expected.map(|(address, prefix)| (ip(address), prefix)));
        for bad in ["\tinet 10.1.0\n", "\tinet\n", "\tinet6 fe80::1/129\n", "\tinet 10.0.0.1/x\n"] {
            assert!(matches!(parse(bad), Err(IfconfigError::Unreadable(_))), "{bad:?}");
        }
    }
}
