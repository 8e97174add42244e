//! The parameters of an island's jail, as jail(8) and jail_set(2) name them.
//!
//! What must always hold: everything that a jail may be forbidden is forbidden, those permissions included that a later
//! kernel adds, for they are asked of the kernel; `allow.suser` goes only after the island has changed its user.

use std::net::{Ipv4Addr, Ipv6Addr};

use host::exec::{Command, Executor};
use serde::{Deserialize, Serialize};

use crate::backend::StartError;
use crate::id::IslandId;

/// Where sysctl(8) lists what a jail can be allowed.
const ALLOW: &str = "security.jail.param.allow";
/// The permission without which a process in a jail cannot change its user.
const SUSER: &str = "allow.suser";
/// The hostname on an island.
pub(super) const HOSTNAME: &str = "island";

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name, `allow.noraw_sockets` for a permission that is not given.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// A parameter's value, in the forms that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// The name says it all.
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
    /// All that the host has.
    Host,
    /// One address.
    Address(std::net::IpAddr),
}

/// How jail_set(2) says whether a jail has something of its own, the host's, or none.
enum Share {
    Disable = 0,
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

/// What is taken away once the island has changed its user; nothing where the kernel knows no such permission.
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

/// All permissions that this kernel knows, by their names as parameters.
pub async fn permissions(exec: &dyn Executor) -> Result<Vec<String>, StartError> {
    let command = Command::program("sysctl").args(["-N", ALLOW]);
    let refused = |error: host::exec::ExecError| StartError::Refused(error.to_string());
    let text = exec.run(&command).await.and_then(|out| out.success(&command)).map_err(refused)?;
    let found = parse_permissions(&text);
    if found.is_empty() {
        return Err(StartError::Unsupported("this kernel has no jails".into()));
    }
    Ok(found)
}

/// Lines such as `security.jail.param.allow.mount.zfs`; a group's own permission ends with a dot.
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
    async fn whatever_the_kernel_can_allow_is_denied() {
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
    fn a_kernel_that_knows_no_suser_is_not_asked_to_take_it_away() {
        assert!(last_denial(&IslandId::mint(), &["allow.mount".to_owned()]).is_empty());
    }

    #[test]
    fn an_island_reaches_what_it_was_given_and_no_more() {
        let of = |reach| {
            let params = parameters(&IslandId::mint(), "/x", 1, reach, &[]);
            let network = params.into_iter().filter(|param| param.name.starts_with("ip"));
            network.map(|param| (param.name, param.value)).collect::<Vec<_>>()
        };
        let number = |name: &str, value| (name.to_owned(), Value::Number(value));
        assert_eq!(of(Reach::Nothing), [number("ip4", 0), number("ip6", 0)]);
        assert_eq!(of(Reach::Host), [number("ip4", 2), number("ip6", 2)]);
        let address = "10.0.2.77".parse().unwrap();
        let expected = ("ip4.addr".to_owned(), Value::Address4(address));
        assert_eq!(of(Reach::Address(address.into())), [expected, number("ip6", 0)]);
        let address = "fd00::7".parse().unwrap();
        let expected = ("ip6.addr".to_owned(), Value::Address6(address));
        assert_eq!(of(Reach::Address(address.into())), [number("ip4", 0), expected]);
    }

    #[tokio::test]
    async fn a_kernel_without_jails_is_said_to_be_one() {
        let script = Script::new().expect("sysctl -N security.jail.param.allow", 0, "", "");
        assert!(matches!(permissions(&script).await, Err(StartError::Unsupported(_))));
    }
}
