//! The server's own control groups: made at its start, removed at its end, or by the next start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::linux::cgroup::error::CgroupError;
use crate::linux::cgroup::group::CgroupSet;
use crate::linux::cgroup::layout::{CgroupLayout, LEAF, Version};

/// The start of the name of every home.
const PREFIX: &str = "sky-island-";
/// The number of homes that this process has made.
static MADE: Mutex<u32> = Mutex::new(0);

/// The server's own groups: the folders, one for each hierarchy, in which islands' groups are made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CgroupHome {
    version: Version,
    folders: Vec<PathBuf>,
}

impl CgroupHome {
    /// Makes the server's groups.
    pub(crate) fn create() -> Result<Self, CgroupError> {
        let read = |path: &'static str| {
            fs::read_to_string(path).map_err(|source| CgroupError::Read { path, source })
        };
        let layout = CgroupLayout::find(
            &read("/proc/self/mountinfo")?,
            &read("/proc/self/cgroup")?,
            &|path| fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default(),
        )
        .ok_or(CgroupError::NoHierarchy)?;
        // Held while leftover homes are removed, so that none of this process's is taken for one.
        let mut made = MADE.lock();
        let home = match Self::create_below(&layout, &layout.own, *made) {
            Ok(home) => home,
            Err(first) if layout.own == layout.top => return Err(first),
            Err(first) => Self::create_below(&layout, &layout.top, *made).map_err(|_| first)?,
        };
        *made += 1;
        Ok(home)
    }

    /// Makes a home beside the `before` homes that this process has made before.
    fn create_below(
        layout: &CgroupLayout,
        parents: &[PathBuf],
        before: u32,
    ) -> Result<Self, CgroupError> {
        let own = std::process::id();
        let name = match before {
            0 => format!("{PREFIX}{own}"),
            _ => format!("{PREFIX}{own}-{before}"),
        };
        let mut folders = Vec::new();
        for parent in parents {
            sweep(parent, before > 0);
            let folder = parent.join(&name);
            let made = || -> io::Result<()> {
                if layout.version == Version::Two {
                    delegate(parent, true)?;
                }
                fs::create_dir(&folder)?;
                if layout.version == Version::Two {
                    delegate(&folder, false)?;
                }
                Ok(())
            };
            if let Err(source) = made() {
                let _ = fs::remove_dir(&folder);
                return Err(CgroupError::Home { parent: parent.clone(), source });
            }
            folders.push(folder);
        }
        Ok(Self { version: layout.version, folders })
    }

    /// Removes the server's groups and the groups in them that a killed launcher has left. Returns
    /// false while the kernel still counts a process in one.
    pub(crate) fn remove(&self) -> bool {
        self.folders.iter().for_each(|folder| remove_home(folder));
        !self.folders.iter().any(|folder| folder.exists())
    }

    /// Opens the folders for a launcher that is about to leave the host's tree.
    pub(crate) fn open(&self) -> io::Result<CgroupSet> {
        let open = |path: &PathBuf| Ok(fs::File::open(path)?.into());
        let folders = self.folders.iter().map(open).collect::<io::Result<_>>()?;
        Ok(CgroupSet::new(self.version, folders))
    }
}

/// Allows limits on the children of a version 2 group. A group with processes may not have such
/// children: if the group holds this process alone, the process moves to a leaf beside the
/// children.
fn delegate(folder: &Path, move_aside: bool) -> io::Result<()> {
    let control = folder.join("cgroup.subtree_control");
    let enable = || fs::write(&control, "+memory +pids");
    match enable() {
        Err(error) if move_aside && error.raw_os_error() == Some(libc::EBUSY) => {
            let leaf = folder.join(LEAF.trim_start_matches('/'));
            fs::create_dir_all(&leaf)?;
            fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())?;
            enable()
        }
        result => result,
    }
}

/// Removes the homes of servers that no longer run. A home with the pid of this process belongs to
/// this process if `have_own`, and otherwise to an earlier process with the same pid.
fn sweep(parent: &Path, have_own: bool) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| {
            let number = name.strip_prefix(PREFIX)?;
            number.split_once('-').map_or(number, |(pid, _)| pid).parse::<u32>().ok()
        });
        let gone = |pid: u32| match pid == std::process::id() {
            true => !have_own,
            false => !Path::new("/proc").join(pid.to_string()).exists(),
        };
        if owner.is_some_and(gone) {
            remove_home(&entry.path());
        }
    }
}

/// Removes a home and the groups in it; what is in use stays.
fn remove_home(home: &Path) {
    for child in fs::read_dir(home).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(child.path());
    }
    let _ = fs::remove_dir(home);
}

#[cfg(test)]
#[path = "home_tests.rs"]
mod tests;
