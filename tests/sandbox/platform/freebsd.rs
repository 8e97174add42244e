//! FreeBSD: jails on clones, on a host that `sky-island init` has prepared.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use host::layout::Layout;
use island::{Ending, Options};
use server::config::Config;
use server::state::State;

use super::super::host::Host;
use super::Given;

/// The configuration of the host that the suite may use.
const CONFIG: &str = "SKY_ISLAND_TEST_CONFIG";
const DEFAULT_CONFIG: &str = "/usr/local/etc/sky-island/config.json";
/// `INTERFACE,ADDRESS`: what may be leased to islands, where the configuration names no pool.
const ADDRESS: &str = "SKY_ISLAND_TEST_ADDRESS";

// Clones wait for a transaction group, and a jail that had TCP dies slowly.
pub const PATIENCE: Duration = Duration::from_secs(90);
pub const DEADLINE: Duration = Duration::from_secs(60);
pub const ONE_BACKEND_AT_A_TIME: bool = true;
pub const ORDINARY_USERS: Given = Err("only root makes jails");
// A jail outlives its maker; the backend removes it when it hears of the end.
pub const USAGE_UNKNOWN: Option<&str> = Some("no process of a jail is told from another");
pub const ENDS_WITH_ITS_LAUNCHER: bool = false;
// Its clone and mounts are removed behind the answer.
pub const LISTED_WHILE_ENDING: bool = true;
// A jail shares the host's numbers.
pub const FIRST_PROCESS: Option<(i64, i64)> = None;
pub const TMP_IS_MEMORY: Given =
    Err("/tmp has a limit of its own, limits.tmp, beside limits.memory");
pub const ABSENT: &[&str] = &["/proc/curproc", "/dev/fd", "/dev/zfs", "/dev/mem", "/dev/pts"];
pub const MARKED: &[&str] =
    &["/", "/root", "/home", "/var/tmp", "/var/db", "/var/run", "/usr/local/etc"];
pub const FOLDERS_OF_A_TOOLS_OWN: &[&str] = &["/tmp", "/var/tmp"];
// Writing to one sets the time that every devfs shows; so does utimensat(2) with the time that is
// now.
pub const DATED_BY_USE: &[&str] = &["date /dev/null", "date /dev/zero"];
pub const NO_NETWORK: &[&str] =
    &["protocol not supported", "unreachable", "can't assign", "no route"];
// A host has as many pseudo-terminals as kern.pts_maxdev says, and people log in on them. The others
// are memory of the kernel: a user's locks, kqueues, and mebibytes in the buffers of sockets.
pub const SHARED_TABLES: &[(&str, u64)] = &[
    ("open-terminals", 0),
    ("set-timers", 2048),
    ("share-locks", 1),
    ("open-kqueues", 128),
    ("fill-sockets", 64),
];
pub const FORBIDDEN: Result<usize, &str> = Ok(80);

/// A host that init has prepared.
pub struct Prepared {
    pub config: Config,
    pub layout: Layout,
}

/// The addresses that the suite may lease to islands.
pub struct Pool {
    pub interface: String,
    first: Ipv4Addr,
    last: Ipv4Addr,
}

impl Pool {
    pub fn has(&self, address: &str) -> bool {
        address.parse().is_ok_and(|address: Ipv4Addr| (self.first..=self.last).contains(&address))
    }

    pub fn size(&self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }
}

impl Prepared {
    fn find() -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("only root makes jails".into());
        }
        let path = std::env::var_os(CONFIG).unwrap_or_else(|| DEFAULT_CONFIG.into());
        let path = Path::new(&path);
        let what = |why: &str| format!("{}: {why}", path.display());
        let mut config = Config::load(Some(path)).map_err(|error| {
            format!("{error}; prepare the host with `sky-island init`, or set {CONFIG}")
        })?;
        let layout = config.layout().map_err(|error| what(&error.to_string()))?;
        for snapshot in [layout.base_snapshot(), layout.build_snapshot()] {
            let list = Command::new("/sbin/zfs").args(["list", snapshot.as_str()]).output();
            if !list.is_ok_and(|output| output.status.success()) {
                return Err(format!("{snapshot} is not there; run `sky-island init`"));
            }
        }
        if let Some((interface, address)) = address_of_the_environment()? {
            let ip4 = serde_json::json!({
                "interface": interface,
                "start_addr": address,
                "mask": Ipv4Addr::BROADCAST,
                "range": address.octets()[3],
            });
            let network = serde_json::from_value(serde_json::json!({ "ip4": ip4 }));
            config.network = network.map_err(|error| error.to_string())?;
        }
        Ok(Self { config, layout })
    }
}

fn address_of_the_environment() -> Result<Option<(String, Ipv4Addr)>, String> {
    let Ok(text) = std::env::var(ADDRESS) else { return Ok(None) };
    let read = text
        .split_once(',')
        .and_then(|(interface, address)| Some((interface.to_owned(), address.parse().ok()?)));
    read.map(Some).ok_or_else(|| format!("{ADDRESS}={text:?} is not INTERFACE,ADDRESS"))
}

fn found() -> &'static Result<Prepared, String> {
    static FOUND: OnceLock<Result<Prepared, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let found = Prepared::find();
        if let (Err(why), true) = (&found, std::env::var_os(CONFIG).is_some()) {
            panic!("{CONFIG} names a host that cannot be used: {why}");
        }
        found
    })
}

/// The host, for a test that runs: there is none on a host that is not prepared.
pub fn prepared() -> &'static Prepared {
    found().as_ref().unwrap_or_else(|why| panic!("{why}"))
}

/// What the backend is told of the host that it is on.
pub fn options(options: Options) -> Options {
    let told = prepared().config.island_options(None, 0).expect("its layout was read before");
    Options { pools: told.pools, jails: told.jails, ..options }
}

pub fn pool() -> Option<Pool> {
    let ip4 = prepared().config.network.ip4.as_ref()?;
    let [a, b, c, _] = ip4.start_addr.octets();
    let last = Ipv4Addr::new(a, b, c, ip4.range);
    Some(Pool { interface: ip4.interface.clone(), first: ip4.start_addr, last })
}

/// Takes hold of the state directory until the suite ends, so that no server is at work on the same
/// datasets.
pub fn is_ready() -> Result<(), String> {
    let prepared = found().as_ref().map_err(Clone::clone)?;
    static HELD: OnceLock<Result<State, String>> = OnceLock::new();
    let hold = || State::open(prepared.config.state_dir()).map_err(|error| error.to_string());
    HELD.get_or_init(hold).as_ref().map(|_| ()).map_err(Clone::clone)
}

/// A host that init has prepared makes islands.
pub fn must_start() -> bool {
    true
}

/// The go command of the build jail, which runs on the host as well, or the one in PATH.
pub fn go() -> PathBuf {
    let ours = prepared().layout.goroot().join("bin/go");
    if ours.is_file() { ours } else { "go".into() }
}

/// The base system has them.
pub fn has_zones(_zip: bool) -> bool {
    true
}

pub fn is_refusal(answer: &str) -> bool {
    // Where a socket is refused its family is, and where a process is not seen it is not there.
    let refusals =
        ["EPERM", "ENOSYS", "EACCES", "ESRCH", "EPROTONOSUPPORT", "EAFNOSUPPORT", "EPROTOTYPE"];
    refusals.contains(&answer) || answer.starts_with("refused: ")
}

/// Every island has a user of its own, which is none of the host's people.
pub fn is_unprivileged(id: u32) -> bool {
    const FIRST_THAT_IS_NOT_THE_SYSTEMS: u32 = 1000;
    id >= FIRST_THAT_IS_NOT_THE_SYSTEMS
}

/// A function's root is the base system, and the function itself.
pub fn check_root(_host: &Host, names: &[String]) {
    let base = prepared().layout.folder_of(&prepared().layout.base()).expect("it is ours");
    let entries = std::fs::read_dir(&base).expect("the base system is there");
    let entries: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    assert!(entries.len() > 5, "{}: {entries:?}", base.display());
    let own: Vec<_> =
        names.iter().filter(|name| !entries.iter().any(|entry| *entry == ***name)).collect();
    assert!(own.len() <= 1, "{own:?}");
}

/// What is not the build jail's; a test makes files for this.
pub fn hidden_from_tools() -> Vec<String> {
    vec!["/proc/curproc".into(), "/dev/fd".into(), "/dev/zfs".into(), "/dev/mem".into()]
}

/// Each process is stopped at its own limit; all of them together meet rctl(8)'s signal, about a
/// second late, and the one that it ends is any of them.
pub fn is_want_of_memory(ending: Ending) -> Given {
    const REFUSED: Ending = Ending::Exited(4);
    const A_CHILD_HAS_ENDED: Ending = Ending::Exited(5);
    match ending {
        Ending::Memory => Ok(()),
        Ending::Signaled(libc::SIGKILL) | REFUSED | A_CHILD_HAS_ENDED => {
            Err("a signal of rctl(8) does not say what it is for")
        }
        other => panic!("{other:?}"),
    }
}
