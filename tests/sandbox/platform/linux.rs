//! Linux: namespaces. It is also what a system is taken for that has no backend.

use std::path::PathBuf;
use std::time::Duration;

use island::{Ending, Options};

use super::super::host::Host;
use super::Given;

/// What a host does in its own time takes no longer than this.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The deadline of a deed that has none of its own to meet.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Whether one start of the program takes another's islands for what a crash left.
pub const ONE_BACKEND_AT_A_TIME: bool = false;
/// An ordinary user's islands.
pub const ORDINARY_USERS: Given = Ok(());
/// Why it cannot be seen what a warm island uses; none where it can.
pub const USAGE_UNKNOWN: Option<&str> = None;
/// A function ends when its launcher does, before anybody looks.
pub const ENDS_WITH_ITS_LAUNCHER: bool = true;
/// An island is still listed for a while after its caller has the outcome.
pub const LISTED_WHILE_ENDING: bool = false;
/// The numbers of a function's process and of its parent, as it sees them.
pub const FIRST_PROCESS: Option<(i64, i64)> = Some((1, 0));
/// What lies in /tmp counts as memory.
pub const TMP_IS_MEMORY: Given = Ok(());
/// Paths that a function finds nothing at.
pub const ABSENT: &[&str] = &["/proc", "/proc/self/exe", "/sys", "/etc/passwd", "/usr"];
/// Folders of the host that no island sees. Tools see /usr.
pub const MARKED: &[&str] = &["/", "/root", "/home", "/var/tmp", "/var/lib"];
/// Folders of a tool that go with its island.
pub const FOLDERS_OF_A_TOOLS_OWN: &[&str] = &[];
/// Devices that are dated by each process that may write to them, as the host sees it.
pub const DATED_BY_USE: &[&str] = &[];
/// What dialing says where there is no network.
pub const NO_NETWORK: &[&str] = &["unreachable", "cannot assign"];
/// Deeds that take of what all users of the host share, and how many of it they may get.
pub const SHARED_TABLES: &[(&str, u64)] = &[
    // Both are counted for the maker of the island as well, up to a limit that is the host's.
    ("watch", 0),
    ("set-timers", 2048),
];
/// How many forbidden calls the program knows at least.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub const FORBIDDEN: Result<usize, &str> = Ok(150);
/// How many forbidden calls the program knows at least.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub const FORBIDDEN: Result<usize, &str> = Err("the list is written for x86-64");

/// What the backend is told of the host that it is on.
pub fn options(options: Options) -> Options {
    options
}

/// Whether islands can be had here; the error says why the suite is skipped.
pub fn is_ready() -> Result<(), String> {
    Ok(())
}

/// Whether a backend that does not start is a failure, and not this host's nature.
pub fn must_start() -> bool {
    false
}

/// The go command.
pub fn go() -> PathBuf {
    "go".into()
}

/// Whether functions can have time zones: `zip` says whether the toolchain has an archive of them.
pub fn has_zones(zip: bool) -> bool {
    zip
}

/// Whether an answer of the kernel is a refusal.
pub fn is_refusal(answer: &str) -> bool {
    ["ENOSYS", "EPERM"].contains(&answer)
}

/// Whether an id, as a function or a tool sees it, is an unprivileged user's.
pub fn is_unprivileged(id: u32) -> bool {
    id == 65_534
}

/// Holds a function's root against what was promised.
pub fn check_root(host: &Host, names: &[String]) {
    let mut root = vec!["dev", "tmp"];
    root.extend(host.has_zones().then_some("zoneinfo.zip"));
    assert_eq!(names, root);
}

/// Files and folders of the host that a tool finds nothing at.
pub fn hidden_from_tools() -> Vec<String> {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    let paths = ["/root", "/home", &home, "/etc/shadow", "/var", "/proc", "/sys", "/run"];
    paths.map(str::to_owned).to_vec()
}

/// Whether all processes of an island together were ended for want of memory; the error says what
/// is not known.
pub fn is_want_of_memory(ending: Ending) -> Given {
    assert_eq!(ending, Ending::Memory);
    Ok(())
}
