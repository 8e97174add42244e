//! Tests, or parts of one, that this machine cannot run. Each says why on stderr and is counted in
//! the file that `SKY_ISLAND_TEST_SKIPS` names, of which scripts/test.sh prints the sum as its last
//! line.
//!
//! There are two kinds, and a check of the machine decides between them. What the machine lacks but
//! could have (a program, root, a reachable module proxy) is a failure under `SKY_ISLAND_STRICT=1`.
//! What the machine can never give (another system, a kernel without the controllers) is counted
//! alone.
#![allow(dead_code, unreachable_pub)]

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// The file that counts: one line for each skip, its kind, reason, test and subject with tabs
/// between them.
const SKIPS: &str = "SKY_ISLAND_TEST_SKIPS";
/// Set, to a test's name, in a process that runs that test alone.
pub const TEST: &str = "SKY_ISLAND_TEST_ALONE";
const STRICT: &str = "SKY_ISLAND_STRICT";
const OFFLINE: &str = "SKY_ISLAND_OFFLINE";
/// Programs, with spaces between them, that scripts/test-tools.sh tried in vain to install.
const NOT_INSTALLABLE: &str = "SKY_ISLAND_TEST_NOT_INSTALLABLE";
/// The begin of each line that a skip prints.
pub const SAID: &str = "skipped: ";
/// The longest wait for the module proxy.
const PROXY_WAIT: Duration = Duration::from_secs(3);

/// Why something is skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    why: String,
    /// Whether this machine could be made to run it.
    fixable: bool,
}

impl Reason {
    /// The machine could run it: somebody has to install, start or allow something.
    pub fn fixable(why: impl Display) -> Self {
        Self { why: one_line(why), fixable: true }
    }

    /// The machine can never run it.
    pub fn impossible(why: impl Display) -> Self {
        Self { why: one_line(why), fixable: false }
    }
}

/// Skips the running test, or the part of it that `what` names. Panics where the reason is fixable
/// and `SKY_ISLAND_STRICT=1`.
pub fn skip(what: impl Display, reason: &Reason) {
    let (what, Reason { why, fixable }) = (one_line(what), reason);
    // Past the capture of a test's output, so that the line is seen when the test passes.
    let _ = writeln!(std::io::stderr(), "{SAID}{what}: {why}");
    if *fixable && is_set(STRICT) {
        panic!("{STRICT}=1, and this machine could run it: {what}: {why}");
    }
    let Some(path) = std::env::var_os(SKIPS) else { return };
    let kind = if *fixable { "fixable" } else { "impossible" };
    let test = std::env::var(TEST).ok();
    let test = test.unwrap_or_else(|| std::thread::current().name().unwrap_or("main").to_owned());
    let line = format!("{kind}\t{why}\t{test}\t{what}\n");
    // One write a line: tests of several processes write at the same time.
    let written = OpenOptions::new().append(true).open(&path);
    let written = written.and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| panic!("{SKIPS}={}: {error}", path.display()));
}

/// Whether a program is in `PATH`.
pub fn program(name: &str) -> Result<(), Reason> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
        return Ok(());
    }
    Err(not_here(name))
}

/// The reason for what needs a program or library that is not here: fixable unless its installation
/// has failed.
pub fn not_here(name: &str) -> Reason {
    let failed = std::env::var(NOT_INSTALLABLE).unwrap_or_default();
    if failed.split_whitespace().any(|failed| failed == name) {
        return Reason::impossible(format_args!("{name} is not here and cannot be installed"));
    }
    Reason::fixable(format_args!("{name} is not here"))
}

/// Whether this process is root's.
pub fn root() -> Result<(), Reason> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Reason::fixable("only root can run this"))
}

/// Whether this run may ask the module proxy. `SKY_ISLAND_OFFLINE=1` forbids it, which is fixable
/// where the proxy could be reached.
pub fn network() -> Result<(), Reason> {
    static ALLOWED: OnceLock<Result<(), Reason>> = OnceLock::new();
    let look = || match is_set(OFFLINE) {
        false => Ok(()),
        true if proxy_answers() => Err(Reason::fixable(format_args!("{OFFLINE}=1"))),
        true => Err(Reason::impossible("no module proxy can be reached")),
    };
    ALLOWED.get_or_init(look).clone()
}

/// The pool of `SKY_ISLAND_TEST_POOL`.
pub fn pool() -> Result<String, Reason> {
    if let Ok(pool) = std::env::var("SKY_ISLAND_TEST_POOL") {
        return Ok(pool);
    }
    let why = "SKY_ISLAND_TEST_POOL names no pool (make test-zfs)";
    // Whether the system has ZFS at all; a machine without it has a guest at most, which make
    // test-zfs starts.
    let has_zfs = std::path::Path::new("/dev/zfs").exists() && program("zpool").is_ok();
    Err(if has_zfs { Reason::fixable(why) } else { Reason::impossible(why) })
}

/// Why islands that did not start could not: fixable where the kernel gives this user namespaces
/// all the same.
pub fn islands(error: impl Display) -> Reason {
    #[cfg(target_os = "linux")]
    if !namespaces_are_given() {
        return Reason::impossible(format_args!("the kernel gives no namespaces: {error}"));
    }
    Reason::fixable(error)
}

#[cfg(target_os = "linux")]
fn namespaces_are_given() -> bool {
    use std::os::unix::process::CommandExt;

    use nix::sched::{CloneFlags, unshare};

    let flags = match nix::unistd::geteuid().is_root() {
        true => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID,
        false => CloneFlags::CLONE_NEWUSER,
    };
    let mut command = Command::new("true");
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(move || unshare(flags).map_err(Into::into)) };
    command.status().is_ok_and(|status| status.success())
}

fn proxy_answers() -> bool {
    let Ok(output) = Command::new("go").args(["env", "GOPROXY"]).output() else { return false };
    let proxies = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = proxies.trim().split([',', '|']).find_map(|proxy| {
        let (scheme, rest) = proxy.split_once("://")?;
        let host = rest.split('/').next()?;
        let port = if scheme == "http" { 80 } else { 443 };
        Some(if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") })
    });
    let addresses = first.and_then(|host| host.to_socket_addrs().ok());
    let reaches = |address| TcpStream::connect_timeout(&address, PROXY_WAIT).is_ok();
    addresses.into_iter().flatten().any(reaches)
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}

fn one_line(text: impl Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
