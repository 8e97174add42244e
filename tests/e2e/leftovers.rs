//! What a server must not leave behind: processes, mounts, control groups, scratch files.
//!
//! A server at rest has launchers and islands made ahead of calls; warm islands of a
//! function go after a time without calls, which the suite's servers are told to be a short one. So
//! the suite looks once when a server has come to rest after a first call, and again after all
//! calls: there may be no more of anything than there was. What a server at rest may have is said
//! here and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::server::{POLL, Server};

/// The longest until a server is at rest: its first start compiles the standard library.
const REST_WAIT: Duration = Duration::from_secs(180);
/// A server is at rest when nothing about it has changed for so long. What islands were made in
/// stays for five seconds.
const REST: Duration = Duration::from_secs(7);
/// Folders below the state folder that are empty while nothing is under way.
const SCRATCH: [&str; 2] = ["scratch", "tmp"];
/// Where control groups lie.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";
/// How deep a server's own group may lie below the top.
pub(crate) const CGROUP_DEPTH: usize = 8;

const PROCESS: &str = "process ";
const GROUP: &str = "island's group in ";

/// How many there are of each sort of thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traces {
    counts: BTreeMap<String, usize>,
}

impl Traces {
    /// What a server has when it has come to rest.
    pub(crate) fn at_rest(server: &Server) -> Result<Self, String> {
        if cfg!(target_os = "linux") && stat(server.pid()).is_none() {
            return Err("the server's processes cannot be seen in /proc".to_owned());
        }
        let begin = Instant::now();
        let mut last = Self::now(server.pid(), server.state());
        let mut since = Instant::now();
        while since.elapsed() < REST {
            if begin.elapsed() > REST_WAIT {
                return Err(format!("the server was not at rest after {REST_WAIT:?}: {last:?}"));
            }
            sleep(POLL);
            let now = Self::now(server.pid(), server.state());
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(last)
    }

    /// What is there of a server's at this moment, also when it has ended.
    pub(crate) fn now(server: u32, state: &Path) -> Self {
        let mut traces = Self::default();
        for process in processes_below(server) {
            traces.add(format!("{PROCESS}{}", process_name(process)));
        }
        for scratch in SCRATCH {
            for entry in names_in(&state.join(scratch)) {
                traces.add(format!("scratch file {scratch}/{entry}"));
            }
        }
        let state = state.to_string_lossy();
        for table in ["/proc/self/mountinfo".to_owned(), format!("/proc/{server}/mountinfo")] {
            let mounts = fs::read_to_string(table).unwrap_or_default();
            for mount in mounts.lines().filter(|mount| mount.contains(&*state)) {
                traces.add(format!("mount {}", mount.split(' ').nth(4).unwrap_or(mount)));
            }
        }
        for group in groups_of(server, Path::new(CGROUPS), CGROUP_DEPTH) {
            let islands = names_in(&group).into_iter().filter(|name| group.join(name).is_dir());
            for _ in islands {
                traces.add(format!("{GROUP}{}", group.display()));
            }
        }
        traces
    }

    /// What a server at rest may have: launchers, and islands made ahead. It has no business with
    /// scratch files and mounts then.
    pub(crate) fn permanent(mut self) -> Self {
        self.counts.retain(|what, _| what.starts_with(PROCESS) || what.starts_with(GROUP));
        self
    }

    fn add(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Fails where there is more of something than there was.
    pub(crate) fn no_more_than(&self, before: &Self) -> Result<(), String> {
        let had = |what: &str| before.counts.get(what).copied().unwrap_or_default();
        let more: Vec<_> = self.counts.iter().filter(|(what, count)| **count > had(what)).collect();
        if more.is_empty() { Ok(()) } else { Err(format!("left behind: {more:?}")) }
    }
}

/// Ends a server by SIGTERM and fails unless its status is 0 and all that it had is gone.
pub(crate) fn stop_without_a_trace(server: &Server) -> Result<(), String> {
    let (pid, state) = (server.pid(), server.state());
    let processes: Vec<_> =
        processes_below(pid).into_iter().filter_map(|it| Some((it, stat(it)?.1))).collect();
    server.stop_well()?;
    let begin = Instant::now();
    loop {
        let mut left = Traces::now(pid, state);
        for (process, birth) in &processes {
            // Another process may have got the number since then.
            if stat(*process).is_some_and(|(_, now)| now == *birth) {
                left.add(format!("{PROCESS}{}", process_name(*process)));
            }
        }
        for group in groups_of(pid, Path::new(CGROUPS), CGROUP_DEPTH) {
            left.add(format!("group {}", group.display()));
        }
        if left == Traces::default() {
            return Ok(());
        }
        if begin.elapsed() > REST {
            return Err(format!("the server has ended and left behind: {left:?}"));
        }
        sleep(POLL);
    }
}

/// The numbers of all processes below a server that have this name and argument at this moment.
pub(crate) fn named(server: u32, name: &str, argument: &str) -> Vec<u32> {
    let has_argument = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|given| given == argument.as_bytes())
    };
    let named = processes_below(server).into_iter().filter(|it| process_name(*it) == name);
    named.filter(has_argument).collect()
}

/// All processes whose parent is `top`, and theirs.
pub(crate) fn processes_below(top: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = names_in(Path::new("/proc"))
        .iter()
        .filter_map(|name| name.parse().ok())
        .filter_map(|process| Some((process, stat(process)?.0)))
        .collect();
    let mut found = vec![top];
    let mut next = 0;
    while let Some(&of) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

/// A process's parent and when it was born.
pub(crate) fn stat(process: u32) -> Option<(u32, u64)> {
    // The name in parentheses may itself have any character, so the fields count from its end.
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    Some((parent, fields.nth(17)?.parse().ok()?))
}

pub(crate) fn process_name(process: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/comm"));
    name.map_or_else(|_| "that just ended".to_owned(), |name| name.trim().to_owned())
}

/// The folders of a server's control groups, one in each hierarchy.
pub(crate) fn groups_of(server: u32, below: &Path, depth: usize) -> Vec<PathBuf> {
    let own = format!("sky-island-{server}");
    let mut found = Vec::new();
    for name in names_in(below) {
        let folder = below.join(&name);
        if name == own {
            found.push(folder);
        } else if depth > 0 && folder.is_dir() && !folder.is_symlink() {
            found.extend(groups_of(server, &folder, depth - 1));
        }
    }
    found
}

pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
