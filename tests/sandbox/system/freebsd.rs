//! What FreeBSD's commands say of processes, jails, datasets, mounts, rules and addresses.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;

use island::IslandId;

use super::super::platform;
use super::tables::{self, Jail, Mount, Process, Rule};

/// The name in a launcher's argument vector.
const LAUNCHER: &str = "sky-island-launcher";
/// The name in a function's.
const FUNCTION: &str = "function";
/// Descriptors are looked for below this number.
const DESCRIPTORS: i32 = 4096;

/// What the operating system holds for one start of the program.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    launchers: usize,
    processes: usize,
    traces: Traces,
    descriptors: BTreeSet<i32>,
}

/// What islands are made of, by the names that one start of the program gives them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Including dying ones.
    pub jails: Vec<String>,
    pub datasets: Vec<String>,
    /// The folders of islands.
    pub folders: Vec<String>,
    pub mounts: Vec<Mount>,
    pub rules: Vec<Rule>,
    /// Named memory objects, which no process need have open.
    pub memory: Vec<String>,
    /// Addresses of the pool that its interface has.
    pub addresses: Vec<String>,
}

impl Held {
    pub fn now() -> Self {
        Self {
            launchers: launchers().len(),
            processes: islands().len(),
            traces: Traces::of(own()),
            descriptors: descriptors(),
        }
    }
}

impl Traces {
    /// What carries this prefix.
    pub fn of(prefix: &str) -> Self {
        let layout = &platform::prepared().layout;
        let run = layout.run();
        let folder = layout.folder_of(&run).expect("a folder of the layout");
        let folders = std::fs::read_dir(folder).expect("the folder of the islands").flatten();
        let folders = folders.filter_map(|entry| entry.file_name().into_string().ok());
        let named = |name: &String| name.contains(prefix);
        let datasets = command("zfs", &["list", "-H", "-o", "name", "-r", run.as_str()]);
        let memory = command("posixshmcontrol", &["ls", "-n"]);
        let addresses = platform::pool().map(|pool| {
            let all = addresses(&pool.interface);
            all.into_iter().filter(|address| pool.has(address)).collect()
        });
        Self {
            jails: jails().iter().map(Jail::name).filter(named).collect(),
            datasets: datasets.lines().map(str::to_owned).filter(named).collect(),
            folders: folders.filter(named).collect(),
            mounts: mounts().into_iter().filter(|mount| mount.on.contains(prefix)).collect(),
            rules: rules().into_iter().filter(|rule| rule.jail.contains(prefix)).collect(),
            memory: tables::paths_with(prefix, &memory),
            addresses: addresses.unwrap_or_default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the names of this process's islands begin with.
pub fn own() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let id = IslandId::mint().to_string();
        let (instance, _) = id.rsplit_once('_').expect("a name ends with a counter");
        format!("{instance}_")
    })
}

/// Whether nothing is left of any island; launchers may be there.
pub fn is_rid_of_islands() -> bool {
    Traces::of(own()).is_empty()
}

/// Whether only this many islands have groups, which FreeBSD does not know.
pub fn has_groups_of(_islands: usize) -> bool {
    true
}

/// Whether nothing is left of this process's backend at all.
pub fn is_rid_of_backend() -> bool {
    launchers().is_empty() && is_rid_of_islands()
}

/// This process's launchers that live.
pub fn launchers() -> Vec<u32> {
    let own = std::process::id();
    let launchers = processes().into_iter().filter(|process| {
        process.parent == own && process.first_argument() == LAUNCHER && !process.is_zombie
    });
    launchers.map(|process| process.pid).collect()
}

/// The processes on this process's islands.
pub fn islands() -> Vec<u32> {
    inside().into_iter().map(|process| process.pid).collect()
}

/// The ones that have become a function.
pub fn functions() -> Vec<u32> {
    let functions = inside().into_iter().filter(|process| process.first_argument() == FUNCTION);
    functions.map(|process| process.pid).collect()
}

fn inside() -> Vec<Process> {
    let own = own();
    let jails: BTreeSet<u32> =
        jails().iter().filter(|jail| jail.name().starts_with(own)).map(Jail::number).collect();
    processes().into_iter().filter(|process| jails.contains(&process.jail)).collect()
}

/// The host's user id of a process.
pub fn user(pid: u32) -> Option<u32> {
    processes().into_iter().find(|process| process.pid == pid).map(|process| process.user)
}

pub fn is_alive(pid: u32) -> bool {
    processes().iter().any(|process| process.pid == pid && !process.is_zombie)
}

/// All processes of the host, those in jails included.
pub fn processes() -> Vec<Process> {
    tables::processes(&command("ps", &["-axww", "-o", "pid,ppid,jid,uid,state,command"]))
}

/// All jails, those included that are dying.
pub fn jails() -> Vec<Jail> {
    tables::jails(&command("jls", &["--libxo=json", "-d", "-n"]))
}

/// All mounts.
pub fn mounts() -> Vec<Mount> {
    tables::mounts(&command("mount", &["-p"]))
}

/// All limits on jails.
pub fn rules() -> Vec<Rule> {
    tables::rules(&command("rctl", &[]))
}

/// The IPv4 addresses of an interface.
pub fn addresses(interface: &str) -> Vec<String> {
    tables::addresses(&command("ifconfig", &["-f", "inet:cidr", interface, "inet"]))
}

/// What the host's kernel answers for a sysctl.
pub fn setting(name: &str) -> String {
    command("sysctl", &["-n", name]).trim_end().to_owned()
}

/// The permissions of jails that the host's kernel lists, as jls(8) names them. A group's own ends
/// with a dot there, and is named without it.
pub fn permissions() -> Vec<String> {
    let text = command("sysctl", &["-N", "security.jail.param.allow"]);
    let names = text.lines().filter_map(|line| line.strip_prefix("security.jail.param."));
    names.map(|name| name.trim_end_matches('.').to_owned()).collect()
}

/// The numbers of this process's open descriptors.
fn descriptors() -> BTreeSet<i32> {
    // SAFETY: F_GETFD reads a flag of a descriptor, and says so where there is none.
    (0..DESCRIPTORS).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0).collect()
}

/// What a command of the base system prints. The suite can say nothing about a host on which one
/// fails.
fn command(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", "/sbin:/bin:/usr/sbin:/usr/bin")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {} {message}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
