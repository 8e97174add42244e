//! What Linux's files say of processes, groups, mounts and descriptors.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// What the operating system holds for this process's backend.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    processes: usize,
    groups: usize,
    mounts: String,
    descriptors: BTreeSet<String>,
}

impl Held {
    pub fn now() -> Self {
        Self {
            processes: launchers().len() + islands().len(),
            groups: groups_of_islands(),
            mounts: mounts(),
            descriptors: descriptors(),
        }
    }
}

/// Whether nothing is left of any island; launchers, zygotes and what all islands share may be
/// there.
pub fn is_rid_of_islands() -> bool {
    islands().is_empty() && groups_of_islands() == 0
}

/// Whether nothing is left of this process's backend at all.
pub fn is_rid_of_backend() -> bool {
    launchers().is_empty() && groups().is_empty()
}

/// The name in a launcher's argument vector.
const LAUNCHER: &str = "sky-island-launcher";
/// The name of a zygote's process.
const ZYGOTE: &str = "sky-zygote";
/// The name in a function's.
const FUNCTION: &str = "function";

fn field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

fn first_argument(pid: u32) -> String {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(arguments.split(|byte| *byte == 0).next().unwrap_or(&[])).into_owned()
}

/// The children of a process, including the ended ones that were not waited for.
fn children(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| field(*pid, "PPid").is_some_and(|found| found == parent))
        .collect()
}

/// The parent of a process.
pub fn parent(pid: u32) -> Option<u32> {
    field(pid, "PPid")?.parse().ok()
}

/// This process's launchers that live.
pub fn launchers() -> Vec<u32> {
    let own = children(std::process::id());
    own.into_iter().filter(|pid| first_argument(*pid) == LAUNCHER).collect()
}

/// The first processes of this process's islands.
pub fn islands() -> Vec<u32> {
    let of_launchers = launchers().into_iter().flat_map(children);
    let without_zygotes = of_launchers.filter(|pid| !is_zygote(*pid));
    without_zygotes.chain(zygotes().into_iter().flat_map(children)).collect()
}

/// The processes that fork functions' islands, one after the other.
pub fn zygotes() -> Vec<u32> {
    launchers().into_iter().flat_map(children).filter(|pid| is_zygote(*pid)).collect()
}

fn is_zygote(pid: u32) -> bool {
    field(pid, "Name").is_some_and(|name| name == ZYGOTE)
}

/// The ones that have become a function.
pub fn functions() -> Vec<u32> {
    islands().into_iter().filter(|pid| first_argument(*pid) == FUNCTION).collect()
}

/// How many processes functions have together, threads not counted.
pub fn processes_of_functions() -> usize {
    let below = |pid: &u32| 1 + children(*pid).len();
    functions().iter().map(below).sum()
}

/// The host's user id of a process.
pub fn user(pid: u32) -> Option<u32> {
    field(pid, "Uid")?.split_whitespace().next()?.parse().ok()
}

/// How late a process's timers may be, in nanoseconds.
pub fn timer_slack(pid: u32) -> std::io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/timerslack_ns"))?;
    text.trim().parse().map_err(std::io::Error::other)
}

pub fn is_alive(pid: u32) -> bool {
    field(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// The control groups of this process's backend.
fn groups() -> Vec<PathBuf> {
    let home = format!("sky-island-{}", std::process::id());
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    const DEEPEST: u32 = 6;
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || depth > DEEPEST {
                continue;
            }
            if entry.file_name().to_str() == Some(&home) {
                found.push(path);
            } else {
                folders.push((path, depth + 1));
            }
        }
    }
    found
}

/// Whether only zygotes and this many islands have groups.
pub fn has_groups_of(islands: usize) -> bool {
    groups_of_islands() <= islands * groups().len()
}

/// How many groups there are that are not a living zygote's.
fn groups_of_islands() -> usize {
    let homes = groups();
    let inside = homes.iter().flat_map(|home| fs::read_dir(home).into_iter().flatten());
    let folders = inside.flatten().filter(|entry| entry.path().is_dir()).count();
    folders.saturating_sub(homes.len() * zygotes().len())
}

/// The mounts of this process and of its launchers.
fn mounts() -> String {
    let processes = launchers().into_iter().chain([std::process::id()]);
    let read = |pid| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    processes.map(read).collect()
}

/// The numbers of this process's open descriptors, but for the one that is looked with.
fn descriptors() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let looked_with = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().ends_with("/fd"))
    };
    let paths = entries.map(|entry| entry.path()).filter(|path| !looked_with(path));
    paths.map(|path| path.display().to_string()).collect()
}
