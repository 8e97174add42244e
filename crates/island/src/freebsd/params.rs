//! The parameters of an island's jail, as jail(8) and jail_set(2) name them.
//!
//! Invariants: a jail has no permission, not even one that a later kernel adds, because the kernel
//! lists them; `allow.suser` is denied only after the island has changed its user.

use std::net::{Ipv4Addr, Ipv6Addr};

use host::exec::{Command, ExecError, Executor};
use serde::{Deserialize, Serialize};

use crate::id::IslandId;

/// Where sysctl(8) lists the permissions of jails.
const ALLOW: &str = "security.jail.param.allow";
/// The permission without which a process in a jail cannot change its user.
const SUSER: &str = "allow.suser";
/// The hostname on an island.
pub(super) const HOSTNAME: &str = "island";

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// The name; `allow.noraw_sockets` denies a permission.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// The value of a parameter, in the forms that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// No value: the name is enough.
    Flag,
    /// An int.
    Number(i32),
    /// Text.
    Text(String),
    /// An array of in_addr.
    Address4(Ipv4Addr),
    /// An array of in6_addr.
    Address6(Ipv6Addr),
}

/// What a jail reaches of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not even loopback.
    Nothing,
    /// Nothing, by a network stack of the jail's own (vnet) that has no address. The jail sees none
    /// of the host's interfaces and routes, and can make sockets of the Internet's families.
    OwnStack,
    /// Everything that the host reaches.
    Host,
    /// One address.
    Address(std::net::IpAddr),
}

/// The values of jail_set(2) for a feature that a jail has not, has alone, or shares with the host.
enum Share {
    Disable = 0,
    New = 1,
    Inherit = 2,
}

/// The parameters of an island's jail. `permissions` is what [`permissions`] found.
pub fn parameters(
    id: &IslandId,
    path: &str,
    ruleset: u16,
    reach: Reach,
    permissions: &[String],
) -> Vec<Param> {
    let text =
        |name: &str, value: &str| Param { name: name.into(), value: Value::Text(value.into()) };
    let number = |name: &str, value: i32| Param { name: name.into(), value: Value::Number(value) };
    let share = |name: &str, value: Share| number(name, value as i32);
    let mut params = vec![
        text("name", id.as_str()),
        text("path", path),
        text("host.hostname", HOSTNAME),
        flag("persist"),
        number("children.max", 0),
        number("enforce_statfs", 2),
        number("securelevel", 3),
        number("devfs_ruleset", i32::from(ruleset)),
    ];
    params.extend(["sysvmsg", "sysvsem", "sysvshm"].map(|name| share(name, Share::Disable)));
    match reach {
        Reach::Nothing => {
            params.extend([share("ip4", Share::Disable), share("ip6", Share::Disable)])
        }
        // The kernel refuses ip4 and ip6 beside it.
        Reach::OwnStack => params.push(share("vnet", Share::New)),
        Reach::Host => params.extend([share("ip4", Share::Inherit), share("ip6", Share::Inherit)]),
        Reach::Address(std::net::IpAddr::V4(address)) => {
            params.push(Param { name: "ip4.addr".into(), value: Value::Address4(address) });
            params.push(share("ip6", Share::Disable));
        }
        Reach::Address(std::net::IpAddr::V6(address)) => {
            params.push(share("ip4", Share::Disable));
            params.push(Param { name: "ip6.addr".into(), value: Value::Address6(address) });
        }
    }
    let denied = permissions.iter().filter(|name| *name != SUSER);
    params.extend(denied.map(|name| flag(&denial(name))));
    params
}

/// The parameters that deny `allow.suser`; none where the kernel does not know that permission.
pub fn last_denial(id: &IslandId, permissions: &[String]) -> Vec<Param> {
    if !permissions.iter().any(|name| name == SUSER) {
        return Vec::new();
    }
    let name = Param { name: "name".into(), value: Value::Text(id.to_string()) };
    vec![name, flag(&denial(SUSER))]
}

fn flag(name: &str) -> Param {
    Param { name: name.to_owned(), value: Value::Flag }
}

/// `allow.mount.zfs` is denied by `allow.mount.nozfs`.
fn denial(permission: &str) -> String {
    match permission.rsplit_once('.') {
        Some((group, name)) => format!("{group}.no{name}"),
        None => format!("no{permission}"),
    }
}

/// Why the permissions of jails are not known.
#[derive(Debug, thiserror::Error)]
pub enum PermissionsError {
    /// sysctl(8) failed.
    #[error("the permissions of jails cannot be listed")]
    Command(#[from] ExecError),
    /// The list is empty.
    #[error("the kernel lists nothing below {ALLOW}, so it has no jails")]
    NoJails,
}

/// The permissions that this kernel knows, by their names as parameters.
pub async fn permissions(exec: &dyn Executor) -> Result<Vec<String>, PermissionsError> {
    let command = Command::program("sysctl").args(["-N", ALLOW]);
    let text = exec.run(&command).await?.success(&command)?;
    let found = parse_permissions(&text);
    if found.is_empty() {
        return Err(PermissionsError::NoJails);
    }
    Ok(found)
}

/// Whether the kernel makes network stacks for jails (VIMAGE, which GENERIC has).
pub async fn makes_stacks(exec: &dyn Executor) -> bool {
    let command = Command::program("sysctl").args(["-n", "kern.features.vimage"]);
    let output = exec.run(&command).await.and_then(|output| output.success(&command));
    output.is_ok_and(|text| text.trim() == "1")
}

impl Reach {
    /// The same reach by a stack of the jail's own, where there is nothing to reach.
    #[must_use]
    pub fn by_own_stack(self) -> Self {
        match self {
            Self::Nothing => Self::OwnStack,
            other => other,
        }
    }
}

/// Reads lines such as `security.jail.param.allow.mount.zfs`. A group's own permission ends with a
/// dot.
fn parse_permissions(text: &str) -> Vec<String> {
    let prefix = ALLOW.trim_end_matches("allow");
    let names = text.lines().filter_map(|line| line.trim().strip_prefix(prefix));
    let names = names.map(|name| name.trim_end_matches('.').to_owned());
    names.filter(|name| name.starts_with("allow.")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Script;

    const LISTED: &str = "security.jail.param.allow.mount.zfs\nsecurity.jail.param.allow.mount.\n\
        security.jail.param.allow.suser\nsecurity.jail.param.allow.raw_sockets\n\
        security.jail.param.allow.a_later_kernels_idea\n";

    fn names(params: &[Param]) -> Vec<&str> {
        params.iter().map(|param| param.name.as_str()).collect()
    }

    #[tokio::test]
    async fn every_permission_of_the_kernel_is_denied() {
        let script = Script::new().expect("sysctl -N security.jail.param.allow", 0, LISTED, "");
        let found = permissions(&script).await.unwrap();
        let id = IslandId::mint();
        let params = parameters(&id, "/j/run/x", 3281, Reach::Nothing, &found);
        let names = names(&params);
        for denied in [
            "allow.mount.nozfs",
            "allow.nomount",
            "allow.noraw_sockets",
            "allow.noa_later_kernels_idea",
        ] {
            assert!(names.contains(&denied), "{denied} is not in {names:?}");
        }
        assert!(!names.iter().any(|name| name.ends_with("suser")), "the user changes first");
        let last = last_denial(&id, &found);
        assert_eq!(
            (last[0].value.clone(), &*last[1].name),
            (Value::Text(id.to_string()), "allow.nosuser")
        );
    }

    #[test]
    fn a_kernel_without_suser_is_not_asked_to_deny_it() {
        assert!(last_denial(&IslandId::mint(), &["allow.mount".to_owned()]).is_empty());
    }

    #[test]
    fn an_island_reaches_only_what_its_plan_says() {
        let of = |reach| {
            let params = parameters(&IslandId::mint(), "/x", 1, reach, &[]);
            let network =
                params.into_iter().filter(|it| it.name.starts_with("ip") || it.name == "vnet");
            network.map(|param| (param.name, param.value)).collect::<Vec<_>>()
        };
        let number = |name: &str, value| (name.to_owned(), Value::Number(value));
        assert_eq!(of(Reach::Nothing), [number("ip4", 0), number("ip6", 0)]);
        assert_eq!(of(Reach::Host), [number("ip4", 2), number("ip6", 2)]);
        assert_eq!(of(Reach::OwnStack), [number("vnet", 1)]);
        let address = "10.0.2.77".parse().unwrap();
        let expected = ("ip4.addr".to_owned(), Value::Address4(address));
        assert_eq!(of(Reach::Address(address.into())), [expected, number("ip6", 0)]);
        let address = "fd00::7".parse().unwrap();
        let expected = ("ip6.addr".to_owned(), Value::Address6(address));
        assert_eq!(of(Reach::Address(address.into())), [number("ip4", 0), expected]);
    }

    #[test]
    fn only_an_island_that_reaches_nothing_gets_a_stack_of_its_own() {
        let address = Reach::Address("10.0.2.77".parse().unwrap());
        assert_eq!(Reach::Nothing.by_own_stack(), Reach::OwnStack);
        assert_eq!(Reach::Host.by_own_stack(), Reach::Host);
        assert_eq!(address.by_own_stack(), address);
    }

    #[tokio::test]
    async fn a_kernel_tells_whether_it_makes_stacks() {
        let unknown = "sysctl: unknown oid 'kern.features.vimage'\n";
        for (code, answer, said, expected) in [(0, "1\n", "", true), (1, "", unknown, false)] {
            let script = Script::new().expect("sysctl -n kern.features.vimage", code, answer, said);
            assert_eq!(makes_stacks(&script).await, expected);
        }
    }

    #[tokio::test]
    async fn a_kernel_without_jails_is_an_error() {
        let script = Script::new().expect("sysctl -N security.jail.param.allow", 0, "", "");
        assert!(matches!(permissions(&script).await, Err(PermissionsError::NoJails)));
    }
}
