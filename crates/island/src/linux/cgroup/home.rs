//! The server's own control groups: made at its start, removed at its end, or by the next start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::linux::cgroup::error::CgroupError;
use crate::linux::cgroup::group::CgroupSet;
use crate::linux::cgroup::layout::{CgroupLayout, LEAF, Version};
use crate::linux::cgroup::share::{self, Sharing};

/// The start of the name of every home.
const PREFIX: &str = "sky-island-";
/// The file of a version 2 group that names the controllers which its children obey.
const SUBTREE: &str = "cgroup.subtree_control";
/// The number of homes that this process has made.
static MADE: Mutex<u32> = Mutex::new(0);

/// The server's own groups: the folders, one for each hierarchy, in which islands' groups are made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CgroupHome {
    version: Version,
    /// In version 1 those of memory and processes, and then, if [`Sharing::cpu`], that of the
    /// processors.
    folders: Vec<PathBuf>,
    sharing: Sharing,
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
        let mut home = match Self::create_below(&layout, &layout.own, *made) {
            Ok(home) => home,
            Err(first) if layout.own == layout.top => return Err(first),
            Err(first) => Self::create_below(&layout, &layout.top, *made).map_err(|_| first)?,
        };
        home.share_processors(layout.cpu.as_ref(), *made);
        *made += 1;
        Ok(home)
    }

    /// Makes a home beside the `before` homes that this process has made before.
    fn create_below(
        layout: &CgroupLayout,
        parents: &[PathBuf],
        before: u32,
    ) -> Result<Self, CgroupError> {
        let name = name(before);
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
        Ok(Self { version: layout.version, folders, sharing: Sharing::default() })
    }

    /// Has the home's groups divide the processors and the disks, as far as the host lets them.
    /// `hierarchy` is that of the processors in version 1: this process's own group, and the top.
    fn share_processors(&mut self, hierarchy: Option<&[PathBuf; 2]>, before: u32) {
        match self.version {
            Version::Two => {
                let Some(folder) = self.folders.first() else { return };
                for controller in ["+cpu", "+io"] {
                    let _ = parent_of(folder).and_then(|parent| enable(parent, controller));
                    let _ = enable(folder, controller);
                }
                let enabled = fs::read_to_string(folder.join(SUBTREE)).unwrap_or_default();
                let has = |name| enabled.split_whitespace().any(|token| token == name);
                self.sharing = Sharing { cpu: has("cpu"), io: has("io") };
                if self.sharing.cpu {
                    weigh(self.version, folder);
                }
            }
            Version::One => {
                let made = hierarchy.into_iter().flatten().find_map(|parent| {
                    sweep(parent, before > 0);
                    let folder = parent.join(name(before));
                    fs::create_dir(&folder).is_ok().then_some(folder)
                });
                let Some(folder) = made else { return };
                weigh(self.version, &folder);
                self.sharing.cpu = true;
                self.folders.push(folder);
            }
        }
    }

    /// The version of the kernel's interface.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Which resources islands share fairly.
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
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
        Ok(CgroupSet::new(self.version, self.sharing, folders))
    }
}

/// The name of a home of this process.
fn name(before: u32) -> String {
    let own = std::process::id();
    match before {
        0 => format!("{PREFIX}{own}"),
        _ => format!("{PREFIX}{own}-{before}"),
    }
}

/// Gives a home its weight among the processes and groups beside it.
fn weigh(version: Version, home: &Path) {
    let members = parent_of(home).and_then(|it| fs::read_to_string(it.join("cgroup.procs")));
    let own = std::process::id().to_string();
    let beside_threads = members.is_ok_and(|members| members.lines().any(|pid| pid == own));
    if let Some(setting) = share::home(version, beside_threads, share::processors()) {
        let _ = fs::write(home.join(setting.file), setting.value);
    }
}

fn parent_of(folder: &Path) -> io::Result<&Path> {
    folder.parent().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Has the children of a version 2 group obey a controller.
fn enable(folder: &Path, controllers: &str) -> io::Result<()> {
    fs::write(folder.join(SUBTREE), controllers)
}

/// Allows limits on the children of a version 2 group. A group with processes may not have such
/// children: if the group holds this process alone, the process moves to a leaf beside the
/// children.
fn delegate(folder: &Path, move_aside: bool) -> io::Result<()> {
    let limits = || enable(folder, "+memory +pids");
    match limits() {
        Err(error) if move_aside && error.raw_os_error() == Some(libc::EBUSY) => {
            let leaf = folder.join(LEAF.trim_start_matches('/'));
            fs::create_dir_all(&leaf)?;
            fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())?;
            limits()
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
