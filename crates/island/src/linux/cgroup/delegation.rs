//! Limits for the children of a version 2 group: the controllers that the children obey, and the
//! processes that must leave the group for that.
//!
//! The kernel gives no such limits while the group itself holds processes (cgroups(7), "no internal
//! processes"); the top of the hierarchy is an exception. If the group holds the server alone, the
//! server moves to a leaf beside the children. Other processes are moved with it only where systemd
//! has handed the whole group over (`Delegate=yes`). What was done is undone at the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::linux::cgroup::error::CgroupError;
use crate::linux::cgroup::layout::LEAF;
use crate::linux::sys;

/// The file of a version 2 group that names the controllers which its children obey.
const SUBTREE: &str = "cgroup.subtree_control";
const PROCESSES: &str = "cgroup.procs";
/// By which the system's systemd marks the groups that it has handed over: readable by all, or by
/// root.
const MARKS: [&std::ffi::CStr; 2] = [c"user.delegate", c"trusted.delegate"];
/// How often the processes of a group are moved, for they may start others meanwhile.
const ROUNDS: usize = 16;

/// What one group says of itself.
#[derive(Debug, PartialEq, Eq)]
struct GroupState {
    /// The controllers that its children could obey.
    available: Vec<String>,
    /// The controllers that its children obey.
    enabled: Vec<String>,
    /// Its processes; 0 for one that this process cannot name.
    members: Vec<u32>,
    is_top: bool,
    /// systemd has handed the group over.
    is_delegated: bool,
}

impl GroupState {
    fn read(folder: &Path) -> Self {
        let words = |name: &str| -> Vec<String> {
            let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let is_marked = |name: &&std::ffi::CStr| sys::has_attribute(folder, name, b"1");
        Self {
            available: words("cgroup.controllers"),
            enabled: words(SUBTREE),
            members: members(folder),
            is_top: !folder.join("cgroup.type").exists(),
            is_delegated: MARKS.iter().any(is_marked),
        }
    }

    /// The processes that have to leave the group before its children can obey controllers; an
    /// error names the processes that may not be moved.
    fn leaving(&self, own: u32) -> Result<&[u32], Vec<u32>> {
        let others = || self.members.iter().copied().filter(|pid| *pid != own).collect::<Vec<_>>();
        match &self.members[..] {
            [] => Ok(&[]),
            _ if self.is_top => Ok(&[]),
            [only] if *only == own => Ok(&self.members),
            all if self.is_delegated && !all.contains(&0) => Ok(all),
            _ => Err(others()),
        }
    }

    /// Those of some controllers that the group does not have.
    fn lacking(&self, controllers: &[&str]) -> Vec<String> {
        let lacks = |name: &&&str| !self.available.iter().any(|has| has == **name);
        controllers.iter().filter(lacks).map(|name| (*name).to_owned()).collect()
    }
}

/// What was done to a group so that its children have limits.
#[derive(Debug)]
pub(crate) struct Delegation {
    folder: PathBuf,
    /// The controllers that the children did not obey before.
    enabled: Vec<String>,
    has_moved: bool,
}

impl Delegation {
    /// Has the children of a group obey the `required` controllers, and the `wished` ones where
    /// that is possible. `own` is the pid of the server; `handed_over` says that a systemd has
    /// handed the group over that does not mark it.
    pub(crate) fn make(
        folder: &Path,
        own: u32,
        handed_over: bool,
        required: &[&str],
        wished: &[&str],
    ) -> Result<Self, CgroupError> {
        let mut state = GroupState::read(folder);
        state.is_delegated |= handed_over;
        let lacking = state.lacking(required);
        if !lacking.is_empty() {
            let controllers = lacking.join(" and no ");
            return Err(CgroupError::Lacks { group: folder.to_owned(), controllers });
        }
        let leaving = state.leaving(own).map_err(|others| occupied(folder, &others))?;
        let has_moved = !leaving.is_empty();
        let mut made = Self { folder: folder.to_owned(), enabled: Vec::new(), has_moved };
        let result = if has_moved { made.move_aside(state.is_delegated) } else { Ok(()) };
        match result.and_then(|()| enable(folder, required)) {
            Ok(()) => {
                let more = wished.iter().filter(|name| enable(folder, &[name]).is_ok());
                let new = |name: &&&str| !state.enabled.iter().any(|had| had == **name);
                let all = required.iter().chain(more);
                made.enabled = all.filter(new).map(|name| (*name).to_owned()).collect();
                Ok(made)
            }
            Err(source) => {
                made.undo();
                Err(CgroupError::Home { parent: folder.to_owned(), source })
            }
        }
    }

    /// Moves the processes of the group to the leaf; new ones as well, if all are to be moved.
    fn move_aside(&self, all: bool) -> io::Result<()> {
        let leaf = self.leaf();
        fs::create_dir_all(&leaf)?;
        for _ in 0..if all { ROUNDS } else { 1 } {
            let members = members(&self.folder);
            if members.is_empty() {
                break;
            }
            // One that has ended meanwhile needs no move; one that stays has the kernel refuse the
            // controllers.
            members.iter().for_each(|pid| drop(fs::write(leaf.join(PROCESSES), pid.to_string())));
        }
        Ok(())
    }

    /// Leaves the group as it was, unless groups of other servers in it need what was done.
    pub(crate) fn undo(&mut self) {
        let enabled = std::mem::take(&mut self.enabled);
        let off: Vec<_> = enabled.iter().map(|name| format!("-{name}")).collect();
        if !off.is_empty() && fs::write(self.folder.join(SUBTREE), off.join(" ")).is_err() {
            return;
        }
        if !std::mem::take(&mut self.has_moved) {
            return;
        }
        let leaf = self.leaf();
        for _ in 0..ROUNDS {
            for pid in members(&leaf) {
                let _ = fs::write(self.folder.join(PROCESSES), pid.to_string());
            }
            if fs::remove_dir(&leaf).is_ok() {
                return;
            }
        }
    }

    fn leaf(&self) -> PathBuf {
        self.folder.join(LEAF.trim_start_matches('/'))
    }
}

/// The processes of a group; 0 for one that this process cannot name.
fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join(PROCESSES)).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Has the children of a group obey controllers.
fn enable(folder: &Path, controllers: &[&str]) -> io::Result<()> {
    let on: Vec<_> = controllers.iter().map(|name| format!("+{name}")).collect();
    fs::write(folder.join(SUBTREE), on.join(" "))
}

/// The controllers that the children of a group obey.
pub(crate) fn enabled(folder: &Path) -> Vec<String> {
    GroupState::read(folder).enabled
}

/// Names the processes that stand in the way, as far as this process may know them.
fn occupied(folder: &Path, others: &[u32]) -> CgroupError {
    const NAMED: usize = 3;
    let name = |pid: &u32| match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} {pid}", name.trim()),
        Err(_) => pid.to_string(),
    };
    let mut names: Vec<_> = others.iter().take(NAMED).map(name).collect();
    if others.len() > NAMED {
        names.push(format!("{} more", others.len() - NAMED));
    }
    CgroupError::Occupied { group: folder.to_owned(), others: names.join(", ") }
}

#[cfg(test)]
#[path = "delegation_tests.rs"]
mod tests;
