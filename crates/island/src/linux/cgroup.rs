//! Limits that hold for all processes of an island together, by cgroups: version 2, or version 1
//! where version 2 has no controllers.
//!
//! The server makes one group of its own ([`CgroupHome`]), named after the server's process. In it
//! a launcher makes a group for each island before the island's first process runs, and removes the
//! group after the island's last process has ended. The next start removes a home whose server is
//! gone. Where the host grants no groups (to an ordinary user without delegation) the limits of
//! each process remain, and `check` reports it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::linux::meter::MemoryMeter;
use crate::linux::protocol::ProcessBounds;

/// The controllers that an island needs.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// The start of the name of every home.
const PREFIX: &str = "sky-island-";
/// The number of homes that this process has made.
static MADE: Mutex<u32> = Mutex::new(0);
/// The most memory, in bytes, that a zygote uses of the group that it shares with its islands.
const ZYGOTE_MEMORY: u64 = 1 << 20;

/// Why a control group could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    /// A file that describes the host's hierarchies cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The host has no usable hierarchy.
    #[error("this host mounts no cgroup hierarchy with the memory and pids controllers")]
    NoHierarchy,
    /// The server may not make its group.
    #[error("no control group can be made below {}", parent.display())]
    Home {
        /// The folder of the group above.
        parent: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A launcher may not make an island's group.
    #[error("mkdir of the group failed")]
    Folder(#[source] io::Error),
    /// A limit could not be set.
    #[error("{file} cannot be written")]
    Limit {
        /// The file of the limit.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The server's own groups: the folders, one for each hierarchy, in which islands' groups are made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CgroupHome {
    version: Version,
    folders: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Version {
    One,
    Two,
}

/// The child group that the server's own process moves to.
const LEAF: &str = "/sky-island-server";

/// The host's hierarchies of groups, and the groups of this process in them.
#[derive(Debug, PartialEq, Eq)]
struct CgroupLayout {
    version: Version,
    /// The folder of this process's own group in each hierarchy.
    own: Vec<PathBuf>,
    /// The top folder of each hierarchy.
    top: Vec<PathBuf>,
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
        Ok(CgroupSet {
            version: self.version,
            folders: self.folders.iter().map(open).collect::<io::Result<_>>()?,
        })
    }
}

impl CgroupLayout {
    /// Reads mountinfo and /proc/self/cgroup (proc(5), cgroups(7)). `controllers` returns the
    /// contents of the cgroup.controllers file of a version 2 folder.
    fn find(mountinfo: &str, own: &str, controllers: &dyn Fn(&Path) -> String) -> Option<Self> {
        let mounts: Vec<(PathBuf, String, String)> =
            mountinfo.lines().filter_map(cgroup_mount).collect();
        let own_in = |id: &dyn Fn(&str, &str) -> bool| {
            own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (number, names) = (parts.next()?, parts.next()?);
                id(number, names).then(|| parts.next())?
            })
        };
        let below = |top: &Path, path: &str| top.join(path.trim_start_matches('/'));
        if let Some((top, ..)) = mounts.iter().find(|(_, kind, _)| kind == "cgroup2") {
            let has = controllers(top);
            if CONTROLLERS.iter().all(|name| has.split_whitespace().any(|token| token == *name)) {
                let path = own_in(&|number, names| number == "0" && names.is_empty())?;
                // A server that took over from another starts in the leaf of that server.
                let path = path.strip_suffix(LEAF).unwrap_or(path);
                return Some(Self {
                    version: Version::Two,
                    own: vec![below(top, path)],
                    top: vec![top.clone()],
                });
            }
        }
        let mut layout = Self { version: Version::One, own: Vec::new(), top: Vec::new() };
        for controller in CONTROLLERS {
            let named = |names: &str| names.split(',').any(|name| name == controller);
            let (top, ..) =
                mounts.iter().find(|(_, kind, names)| kind == "cgroup" && named(names))?;
            let path = own_in(&|_, names| named(names))?;
            layout.own.push(below(top, path));
            layout.top.push(top.clone());
        }
        Some(layout)
    }
}

/// The mount point, type and super options of a line of mountinfo, if it is a cgroup hierarchy.
fn cgroup_mount(line: &str) -> Option<(PathBuf, String, String)> {
    let (front, back) = line.split_once(" - ")?;
    let point = front.split(' ').nth(4)?;
    let mut back = back.split(' ');
    let kind = back.next()?;
    let options = back.nth(1)?;
    kind.starts_with("cgroup").then(|| (point.into(), kind.to_owned(), options.to_owned()))
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

/// The opened home of a launcher, in which the launcher makes its islands' groups.
pub(crate) struct CgroupSet {
    version: Version,
    folders: Vec<OwnedFd>,
}

/// An island's group in each hierarchy.
pub(crate) struct Cgroup {
    version: Version,
    name: String,
    folders: Vec<OwnedFd>,
}

impl CgroupSet {
    /// Makes an island's groups with their limits.
    pub(crate) fn create(&self, name: &str, bounds: &ProcessBounds) -> Result<Cgroup, CgroupError> {
        let mut group =
            Cgroup { version: self.version, name: name.to_owned(), folders: Vec::new() };
        for parent in &self.folders {
            let made = mkdirat(parent, name, Mode::from_bits_truncate(0o755)).and_then(|()| {
                openat(parent, name, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            });
            match made {
                Ok(folder) => group.folders.push(folder),
                Err(error) => {
                    self.remove(&group);
                    return Err(CgroupError::Folder(error.into()));
                }
            }
        }
        match group.limit(bounds) {
            Ok(()) => Ok(group),
            Err(error) => {
                self.remove(&group);
                Err(error)
            }
        }
    }

    /// Makes the groups of a zygote and its islands, with the islands' limits and room for the
    /// zygote.
    pub(crate) fn create_for_zygote(
        &self,
        name: &str,
        bounds: &ProcessBounds,
    ) -> Result<Cgroup, CgroupError> {
        let memory = bounds.memory.saturating_add(ZYGOTE_MEMORY);
        let processes = bounds.processes.saturating_add(1);
        self.create(name, &ProcessBounds { memory, processes, ..*bounds })
    }

    /// Removes an island's groups. Returns false while the kernel still counts a process in one.
    pub(crate) fn remove(&self, group: &Cgroup) -> bool {
        self.folders.iter().all(|parent| {
            let result = unlinkat(parent, group.name.as_str(), UnlinkatFlags::RemoveDir);
            !matches!(result, Err(nix::Error::EBUSY))
        })
    }
}

impl Cgroup {
    fn limit(&self, bounds: &ProcessBounds) -> Result<(), CgroupError> {
        let (memory, processes) = (bounds.memory.to_string(), bounds.processes.to_string());
        let set = |folder, file, value: &str| {
            write(folder, file, value).map_err(|source| CgroupError::Limit { file, source })
        };
        match (self.version, &self.folders[..]) {
            (Version::Two, [folder]) => {
                set(folder, "memory.max", &memory)?;
                set(folder, "pids.max", &processes)?;
                set(folder, "memory.oom.group", "1")?;
                // A kernel without swap has no such file.
                let _ = write(folder, "memory.swap.max", "0");
                Ok(())
            }
            (Version::One, [in_memory, in_pids]) => {
                set(in_memory, "memory.limit_in_bytes", &memory)?;
                let _ = write(in_memory, "memory.memsw.limit_in_bytes", &memory);
                set(in_pids, "pids.max", &processes)
            }
            _ => Err(CgroupError::NoHierarchy),
        }
    }

    /// The folder to fork into, where the kernel can do that.
    pub(crate) fn for_fork(&self) -> Option<BorrowedFd<'_>> {
        (self.version == Version::Two).then(|| self.folders[0].as_fd())
    }

    /// The open descriptors of the folders.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.folders.iter().map(AsRawFd::as_raw_fd)
    }

    /// Moves this process into the group if the kernel could not fork it into the group.
    pub(crate) fn join_late(&self) -> io::Result<()> {
        if self.version == Version::Two { Ok(()) } else { self.join() }
    }

    /// Moves this process into the group. The kernel may take ten milliseconds for it, so a forked
    /// process moves itself while its launcher continues.
    pub(crate) fn join(&self) -> io::Result<()> {
        self.folders.iter().try_for_each(|folder| write(folder, "cgroup.procs", "0"))
    }

    /// Whether the kernel killed a process of the group for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        self.meter().is_ok_and(|meter| meter.has_killed())
    }

    /// Opens the files about the group's memory, for a zygote that is about to lose the right to.
    pub(crate) fn meter(&self) -> io::Result<MemoryMeter> {
        let (used, kills) = match self.version {
            Version::One => ("memory.usage_in_bytes", "memory.oom_control"),
            Version::Two => ("memory.current", "memory.events"),
        };
        let folder = self.folders.first().ok_or(io::ErrorKind::NotFound)?;
        Ok(MemoryMeter::new(open(folder, used)?, open(folder, kills)?))
    }
}

fn write(folder: &OwnedFd, name: &str, value: &str) -> io::Result<()> {
    let file = openat(folder, name, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(&file, value.as_bytes())?;
    Ok(())
}

fn open(folder: &OwnedFd, name: &str) -> io::Result<fs::File> {
    Ok(openat(folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?.into())
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
