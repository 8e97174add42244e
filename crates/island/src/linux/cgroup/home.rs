//! The server's own control groups: made at its start, removed at its end, or by the next start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::linux::cgroup::delegation::{self, Delegation};
use crate::linux::cgroup::error::CgroupError;
use crate::linux::cgroup::group::CgroupSet;
use crate::linux::cgroup::layout::{CONTROLLERS, CgroupLayout, Version};
use crate::linux::cgroup::share::{self, Sharing};

/// The start of the name of every home.
const PREFIX: &str = "sky-island-";
/// The controllers that islands profit from where the server has them.
const WISHED: [&str; 2] = ["cpu", "io"];
/// The number of homes that this process has made.
static MADE: Mutex<u32> = Mutex::new(0);

/// The server's own groups. Their owner removes them; a drop tries that once.
#[derive(Debug)]
pub(crate) struct CgroupHome {
    folders: CgroupFolders,
    /// What was done to the group above, in version 2, and is to be undone.
    above: Mutex<Option<Delegation>>,
}

/// The folders of a home, one for each hierarchy, in which launchers make islands' groups.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CgroupFolders {
    version: Version,
    /// In version 1 those of memory and processes, and then, if [`Sharing::cpu`], that of the
    /// processors.
    folders: Vec<PathBuf>,
    sharing: Sharing,
}

impl CgroupHome {
    /// Makes the server's groups, and removes those of servers that are gone.
    /// `handed_over` says that a user's systemd has handed the group of this process over.
    pub(crate) fn create(handed_over: bool) -> Result<Self, CgroupError> {
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
        let home = Self::create_in(&layout, *made, handed_over)?;
        *made += 1;
        Ok(home)
    }

    /// Makes a home beside the `before` homes that this process has made before: in the group of
    /// this process, or at the top of the hierarchy if that cannot be. A server that is gone may
    /// have had its home at either place.
    fn create_in(
        layout: &CgroupLayout,
        before: u32,
        handed_over: bool,
    ) -> Result<Self, CgroupError> {
        for parent in layout.parents() {
            sweep(parent, before > 0);
        }
        let name = name(before);
        let own = || Self::create_below(layout, &layout.own, handed_over, &name);
        // Another server of this group that ends just now may undo what both need.
        let mut home = match own().or_else(|_| own()) {
            Ok(home) => home,
            Err(first) if layout.own == layout.top => return Err(first),
            Err(first) => {
                Self::create_below(layout, &layout.top, false, &name).map_err(|_| first)?
            }
        };
        home.share_processors(layout.cpu.as_ref(), &name);
        Ok(home)
    }

    fn create_below(
        layout: &CgroupLayout,
        parents: &[PathBuf],
        handed_over: bool,
        name: &str,
    ) -> Result<Self, CgroupError> {
        let (version, sharing) = (layout.version, Sharing::default());
        // From here on, what was made is removed if a step below fails.
        let mut home = Self {
            folders: CgroupFolders { version, folders: Vec::new(), sharing },
            above: Mutex::new(None),
        };
        for parent in parents {
            let failed = |source| CgroupError::Home { parent: parent.clone(), source };
            if version == Version::Two {
                let own = std::process::id();
                let above = Delegation::make(parent, own, handed_over, &CONTROLLERS, &WISHED)?;
                *home.above.get_mut() = Some(above);
            }
            let folder = parent.join(name);
            fs::create_dir(&folder).map_err(failed)?;
            home.folders.folders.push(folder.clone());
            if version == Version::Two {
                // It goes with the folder, and no process is in it to move.
                Delegation::make(&folder, 0, false, &CONTROLLERS, &WISHED)?;
            }
        }
        Ok(home)
    }

    /// Has the home's groups divide the processors and the disks, as far as the host lets them.
    /// `hierarchy` is that of the processors in version 1: this process's own group, and the top.
    fn share_processors(&mut self, hierarchy: Option<&[PathBuf; 2]>, name: &str) {
        let CgroupFolders { version, folders, sharing } = &mut self.folders;
        match version {
            Version::Two => {
                let enabled = folders.first().map(|folder| delegation::enabled(folder));
                let has = |name| enabled.iter().flatten().any(|enabled| enabled == name);
                *sharing = Sharing { cpu: has("cpu"), io: has("io") };
            }
            Version::One => {
                let make = |parent: &PathBuf| {
                    let folder = parent.join(name);
                    fs::create_dir(&folder).is_ok().then_some(folder)
                };
                let made = hierarchy.into_iter().flatten().find_map(make);
                sharing.cpu = made.is_some();
                folders.extend(made);
            }
        }
        if let Some(folder) = folders.last().filter(|_| sharing.cpu) {
            weigh(*version, folder);
        }
    }

    /// The folders, for a launcher.
    pub(crate) fn folders(&self) -> &CgroupFolders {
        &self.folders
    }

    /// Removes the server's groups and the groups in them that a killed launcher has left, and
    /// undoes what was done to the group above. Returns false while the kernel still counts a
    /// process in one.
    pub(crate) fn remove(&self) -> bool {
        let folders = &self.folders.folders;
        folders.iter().for_each(|folder| remove_home(folder));
        let gone = !folders.iter().any(|folder| folder.exists());
        if gone && let Some(mut above) = self.above.lock().take() {
            above.undo();
        }
        gone
    }
}

impl Drop for CgroupHome {
    fn drop(&mut self) {
        self.remove();
    }
}

impl CgroupFolders {
    /// The version of the kernel's interface.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The folders, in the order of the hierarchies.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Which resources islands share fairly.
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Removes the groups without a process that were made longer than `age` ago, which a launcher
    /// that died has left. A group that a launcher has just made gets its process sooner.
    pub(crate) fn remove_left(&self, age: Duration) {
        let old = |path: &Path| {
            let made = path.metadata().and_then(|metadata| metadata.modified());
            made.is_ok_and(|made| made.elapsed().is_ok_and(|since| since > age))
        };
        for child in self.folders.iter().flat_map(fs::read_dir).flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) && old(&child.path()) {
                // A group with a process stays.
                let _ = fs::remove_dir(child.path());
            }
        }
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
    let Some(parent) = home.parent() else { return };
    let members = fs::read_to_string(parent.join("cgroup.procs")).unwrap_or_default();
    let own = std::process::id().to_string();
    let beside_threads = members.lines().any(|pid| pid == own);
    if let Some(setting) = share::home(version, beside_threads, share::processors()) {
        let _ = fs::write(home.join(setting.file), setting.value);
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
