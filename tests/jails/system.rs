//! The rest of the model: what mount(8), rctl(8), ifconfig(8), devfs(8), jail(8), jls(8), sysctl(8),
//! tcpdrop(8) and rctl_get_racct(2) do and answer. The mounts and rules themselves are in
//! `tables.rs`.
//!
//! Invariants: the rules are those of a FreeBSD 15 host, or harsher; a command that the model does
//! not know panics; a broken rule is reported as a violation.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use host::exec::Output;
use serde_json::json;

use super::pool::Pool;
use super::{bad, good};
use crate::jail_model::{Jail, JailModel};
use crate::tables::{KernelModel, Mounted, Refusal};

const PERMISSIONS: &str = "security.jail.param.allow.mount.zfs\nsecurity.jail.param.allow.mount.\n\
    security.jail.param.allow.suser\nsecurity.jail.param.allow.raw_sockets\n";
const NO_RACCT: &str =
    "rctl: RACCT/RCTL present, but disabled; enable using kern.racct.enable=1 tunable";

/// Bytes that the processes of each jail use at first.
pub const MEMORY: u64 = 2_326_528;

/// How often a new IPv6 address is said to be tentative.
const CHECKS: u32 = 1;

pub struct System {
    pub pool: Pool,
    pub jail_model: JailModel,
    pub tables: KernelModel,
    /// Where the roots of islands lie.
    pub run: PathBuf,
    /// By interface, in the order of adding.
    pub addresses: BTreeMap<String, Vec<String>>,
    pub racct: bool,
    /// Bytes that the processes of each jail use.
    pub memory: u64,
    /// How often the counters of each jail were read.
    pub counted: BTreeMap<String, u32>,
    /// New IPv6 addresses, and how often they are still said to be tentative.
    tentative: BTreeMap<String, u32>,
    devices: Vec<String>,
    modules: Vec<String>,
}

impl System {
    pub fn new(pool: Pool, jail_model: JailModel, tables: KernelModel, run: PathBuf) -> Self {
        Self {
            pool,
            jail_model,
            tables,
            run,
            addresses: BTreeMap::new(),
            racct: true,
            memory: MEMORY,
            counted: BTreeMap::new(),
            tentative: BTreeMap::new(),
            devices: Vec::new(),
            modules: vec!["zfs".into(), "nullfs".into()],
        }
    }

    /// Runs a command of the server, which destroys no artifact that islands use.
    pub fn run(&mut self, words: &[&str]) -> Output {
        if let ["zfs", "destroy" | "unmount", .., name] = words {
            let dataset = name.split('@').next().unwrap();
            if let Some(jail) = self.tables.user_of(&self.pool.folder_of(dataset)) {
                self.jail_model.report_violation(format!("{words:?} while {jail} uses it"));
            }
        }
        self.by_hand(words)
    }

    /// Runs a command of somebody else.
    pub fn by_hand(&mut self, words: &[&str]) -> Output {
        match words {
            ["zfs", rest @ ..] => {
                let (tables, jail_model) = (&self.tables, &self.jail_model);
                self.pool.run(rest, |root| tables.holds(root) || jail_model.holds(root))
            }
            ["mount", "-p"] => self.list_mounts(),
            ["mount", "-t", kind, "-o", options, source, at] => {
                self.mount(kind, options, source, Path::new(at))
            }
            ["umount", "-f", at] => self.unmount(Path::new(at)),
            ["rctl", "-a", rules @ ..] if self.racct => {
                rules.iter().for_each(|rule| self.tables.add_rule(rule));
                good("")
            }
            ["rctl", "-r", filter] if self.racct => self.remove_rules(filter),
            ["rctl", ..] => bad(1, NO_RACCT),
            ["jail", "-R", name] => match self.jail_model.remove(name) {
                true => good(""),
                false => bad(1, &format!("jail: \"{name}\" not found")),
            },
            ["jls", "-d", "--libxo=json", "-n", "name", "path", "dying"] => self.list_jails(),
            [
                "jls",
                "-d",
                "--libxo=json",
                "-n",
                "name",
                "path",
                "dying",
                "ip4.addr",
                "ip6.addr",
            ] => self.list_jails(),
            ["ifconfig", interface, "inet" | "inet6", address, how] => {
                self.alias(interface, address, how)
            }
            ["ifconfig", "-f", "inet:cidr,inet6:cidr", interface] => self.list_addresses(interface),
            ["devfs", "rule", "-s", "3281", rest @ ..] => self.devices(rest),
            ["kldstat", "-q", "-m", module] => {
                let there = self.modules.iter().any(|other| other == module);
                if there { good("") } else { bad(1, "") }
            }
            ["kldload", "-n", module] => {
                self.modules.push((*module).to_owned());
                good("")
            }
            ["tcpdrop", "-l", ..] => self.list_connections(words),
            ["tcpdrop", local, "40000", "192.0.2.1", "7"] => {
                let ends = format!("{local} 40000 192.0.2.1 7");
                match self.jail_model.drop_connections(local) {
                    true => good(&format!("{ends}: dropped\n")),
                    false => bad(1, &format!("tcpdrop: {ends}: No such process")),
                }
            }
            ["sysctl", "-n", "kern.racct.enable"] => good(if self.racct { "1\n" } else { "0\n" }),
            ["sysctl", "-n", "kern.features.vimage"] => good("1\n"),
            ["sysctl", "-n", "-x", "kern.boot_id"] => {
                good("Format: Length:16 Dump:0x2f1d8c0be1a94c6a9d3e0f5a7b6c8d9e\n")
            }
            ["sysctl", "-n", "kern.boottime"] => {
                good("{ sec = 1700000000, usec = 12 } Tue Nov 14 22:13:20 2023\n")
            }
            ["sysctl", "-N", "security.jail.param.allow"] => good(PERMISSIONS),
            _ => panic!("the model knows no `{}`", words.join(" ")),
        }
    }

    fn mount(&mut self, kind: &str, options: &str, source: &str, at: &Path) -> Output {
        let what = Mounted {
            kind: kind.to_owned(),
            source: source.to_owned(),
            at: at.to_owned(),
            options: options.to_owned(),
            covered: None,
        };
        let place = at.display();
        match self.tables.mount(what) {
            Ok(()) => good(""),
            Err(Refusal::Missing(path)) => {
                bad(1, &format!("mount_{kind}: {path}: No such file or directory"))
            }
            Err(Refusal::NotDistinct) => {
                let said =
                    format!("mount_nullfs: {place} ({place}) and {source} are not distinct paths");
                bad(64, &said)
            }
            Err(Refusal::NotMounted | Refusal::Busy) => {
                bad(1, &format!("mount_{kind}: {place}: Device busy"))
            }
        }
    }

    fn unmount(&mut self, at: &Path) -> Output {
        let place = at.display();
        match self.tables.unmount(at) {
            Ok(()) => good(""),
            Err(Refusal::NotMounted) => {
                bad(1, &format!("umount: {place}: not a file system root directory"))
            }
            Err(Refusal::Missing(_)) => bad(
                1,
                &format!(
                    "umount: {place}: statfs: No such file or directory\n\
                     umount: {place}: unknown file system"
                ),
            ),
            Err(Refusal::NotDistinct | Refusal::Busy) => {
                bad(1, &format!("umount: unmount of {place} failed: Device busy"))
            }
        }
    }

    fn list_mounts(&self) -> Output {
        let mut text =
            "/dev/vtbd0\t\t/\t\t\tufs\trw\t\t1 1\ndevfs\t\t\t/dev\t\t\tdevfs\trw\t\t0 0\n"
                .to_owned();
        for name in self.pool.datasets.keys() {
            let at = self.pool.folder_of(name);
            text += &format!("{name}\t{}\tzfs\trw,noatime,nfsv4acls \t0 0\n", at.display());
        }
        for mount in self.tables.mounts() {
            let (access, at) = (mount.access(), mount.at.display());
            let Mounted { kind, source, .. } = &mount;
            text += &format!("{source}\t\t\t{at}\t{kind}\t{access}\t\t0 0\n");
        }
        good(&text)
    }

    /// rctl_get_racct(2): a jail that is gone has zeros.
    pub fn counters(&mut self, subject: &str) -> io::Result<String> {
        if !self.racct {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let name = subject.strip_prefix("jail:").unwrap();
        let memory = if self.jail_model.exists(name) { self.memory } else { 0 };
        *self.counted.entry(name.to_owned()).or_default() += 1;
        Ok(format!("cputime=0,datasize=0,memoryuse={memory},maxproc=1"))
    }

    fn remove_rules(&mut self, filter: &str) -> Output {
        match self.tables.remove_rules(filter) {
            true => good(""),
            false => bad(1, &format!("rctl: failed to remove rule '{filter}': No such process")),
        }
    }

    /// The connections of the host and of dying jails. A command that drops one of the host's is
    /// not known, and panics.
    fn list_connections(&self, words: &[&str]) -> Output {
        let host = "tcpdrop 10.0.2.15 22 10.0.2.2 50000\n".to_owned();
        let held = self.jail_model.half_closed_addresses().into_iter();
        let held: String =
            held.map(|local| format!("tcpdrop {local} 40000 192.0.2.1 7\n")).collect();
        match words[2..] {
            ["-a"] => good(&(host + &held)),
            ["-s", "FIN_WAIT_2"] => good(&held),
            ["-s", "TIME_WAIT"] => good(&host),
            _ => panic!("the model knows no `{}`", words.join(" ")),
        }
    }

    /// Lists all columns; the caller reads the ones that it asked for.
    fn list_jails(&self) -> Output {
        let listed = |(name, jail, dying): (String, Jail, bool)| {
            let (six, four): (Vec<String>, Vec<String>) =
                jail.addresses.into_iter().partition(|address| address.contains(':'));
            let path = jail.path;
            json!({"name": name, "path": path, "dying": dying, "ip4.addr": four, "ip6.addr": six})
        };
        let jails: Vec<_> = self.jail_model.list().into_iter().map(listed).collect();
        let all = json!({"__version": "2", "jail-information": {"jail": jails}});
        good(&all.to_string())
    }

    fn alias(&mut self, interface: &str, address: &str, how: &str) -> Output {
        let address = address.split('/').next().unwrap();
        let Some(there) = self.addresses.get_mut(interface) else {
            return bad(1, &format!("ifconfig: interface {interface} does not exist"));
        };
        let found = there.iter().position(|other| other == address);
        match (how, found) {
            ("alias", None) => {
                there.push(address.to_owned());
                if address.contains(':') {
                    self.tentative.insert(address.to_owned(), CHECKS);
                }
            }
            ("alias", Some(_)) => {}
            ("-alias", Some(at)) => drop(there.remove(at)),
            ("-alias", None) => {
                let said = "ifconfig: ioctl (SIOCDIFADDR): Can't assign requested address";
                return bad(1, said);
            }
            _ => panic!("the model knows no ifconfig {how}"),
        }
        self.say_addresses();
        if how == "-alias" {
            let holds = |it: &&(String, Jail, bool)| {
                !it.2 && it.1.addresses.iter().any(|other| other == address)
            };
            if let Some((name, ..)) = self.jail_model.list().iter().find(holds) {
                self.jail_model
                    .report_violation(format!("{name} lives, and its address {address} is gone"));
            }
        }
        good("")
    }

    /// Tells the launcher the addresses of all interfaces.
    pub fn say_addresses(&self) {
        let all: Vec<_> = self.addresses.values().flatten().cloned().collect();
        self.jail_model.set_addresses(&all);
    }

    fn list_addresses(&mut self, interface: &str) -> Output {
        let Some(there) = self.addresses.get(interface) else {
            return bad(1, &format!("ifconfig: interface {interface} does not exist"));
        };
        let mut text = format!(
            "{interface}: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500\n\
             \toptions=880028<VLAN_MTU,JUMBO_MTU,LINKSTATE,HWSTATS>\n"
        );
        for address in there {
            let left = self.tentative.get_mut(address).filter(|left| **left > 0);
            let flag = if left.is_some() { " tentative" } else { "" };
            text += &match address.contains(':') {
                true => format!("\tinet6 {address}/128{flag}\n"),
                false => format!("\tinet {address}/32 broadcast {address}\n"),
            };
            left.into_iter().for_each(|left| *left -= 1);
        }
        good(&text)
    }

    /// As after a restart.
    pub fn forget_devices(&mut self) {
        self.devices.clear();
        self.modules.clear();
    }

    fn devices(&mut self, words: &[&str]) -> Output {
        match words {
            ["show"] => {
                let numbered = self.devices.iter().enumerate();
                let lines = numbered.map(|(at, rule)| format!("{} {rule}\n", (at + 1) * 100));
                good(&lines.collect::<String>())
            }
            ["add", rule @ ..] => {
                self.devices.push(rule.join(" "));
                good("")
            }
            ["delset"] => {
                self.devices.clear();
                good("")
            }
            _ => panic!("the model knows no devfs {words:?}"),
        }
    }
}
