//! Limits that hold for all processes of an island together, by cgroups: version 2, and version 1 where version 2 has
//! no controllers.
//!
//! The server makes one group of its own ([`CgroupHome`]) named after its process, and in it a launcher makes a group for each
//! island before the island's first process runs, and removes it after the last one has ended. A home whose process is
//! gone is swept at the next start. Where the host grants no groups (an ordinary user without delegation) the limits of
//! each process remain, and `check` says so.

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
/// Every group that we make at the top starts with this.
const PREFIX: &str = "sky-island-";
/// How many homes this process has made.
static MADE: Mutex<u32> = Mutex::new(0);
/// Bytes that a berth takes at most of the group that it shares with its islands.
const BERTH_MEMORY: u64 = 1 << 20;

/// The server's own groups: the folders, one for each hierarchy, that islands' groups are made in.
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

/// Where the server moves to in its own group.
const LEAF: &str = "/sky-island-server";

/// Where the host keeps its groups, and where this process is among them.
#[derive(Debug, PartialEq, Eq)]
struct CgroupLayout {
    version: Version,
    /// The folder of this process's own group, one a hierarchy.
    own: Vec<PathBuf>,
    /// The top of each hierarchy.
    top: Vec<PathBuf>,
}

impl CgroupHome {
    /// Makes the server's groups, or says why it may not.
    pub(crate) fn create() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
        let layout = CgroupLayout::find(
            &read("/proc/self/mountinfo")?,
            &read("/proc/self/cgroup")?,
            &|path| fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default(),
        )
        .ok_or("this host mounts no cgroup hierarchy with the memory and pids controllers")?;
        // Held while others' homes are swept, so that none of our own is taken for one.
        let mut made = MADE.lock();
        let home = match Self::create_below(&layout, &layout.own, *made) {
            Ok(home) => home,
            Err(first) if layout.own == layout.top => return Err(first),
            Err(first) => Self::create_below(&layout, &layout.top, *made).map_err(|_| first)?,
        };
        *made += 1;
        Ok(home)
    }

    /// Makes one beside those that this process has made before.
    fn create_below(
        layout: &CgroupLayout,
        parents: &[PathBuf],
        before: u32,
    ) -> Result<Self, String> {
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
            if let Err(error) = made() {
                let _ = fs::remove_dir(&folder);
                return Err(format!(
                    "no control group may be made below {}: {error}",
                    parent.display()
                ));
            }
            folders.push(folder);
        }
        Ok(Self { version: layout.version, folders })
    }

    /// Removes the server's groups and those that a launcher which was killed has left in them; false while the kernel
    /// still counts a process in one.
    pub(crate) fn remove(&self) -> bool {
        self.folders.iter().for_each(|folder| remove_home(folder));
        !self.folders.iter().any(|folder| folder.exists())
    }

    /// Opens the folders, for a launcher that is about to leave the host's tree.
    pub(crate) fn open(&self) -> io::Result<CgroupSet> {
        let open = |path: &PathBuf| Ok(fs::File::open(path)?.into());
        Ok(CgroupSet {
            version: self.version,
            folders: self.folders.iter().map(open).collect::<io::Result<_>>()?,
        })
    }
}

impl CgroupLayout {
    /// Reads mountinfo and /proc/self/cgroup (proc(5), cgroups(7)). `controllers` answers the cgroup.controllers file of
    /// a version 2 folder.
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
                // A program that takes over is where the one before it has moved to.
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

/// Lets the children of a version 2 group have limits. A group that holds processes may not have such children, so
/// when it holds only this one, it is moved to a leaf beside them.
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

/// Removes the homes of servers that no longer run. Those with our own number are ours, if we have made some; if not, they
/// were left by another of that number before us.
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

/// The opened home of a launcher; its islands' groups are made here.
pub(crate) struct CgroupSet {
    version: Version,
    folders: Vec<OwnedFd>,
}

/// One island's groups.
pub(crate) struct Cgroup {
    version: Version,
    name: String,
    folders: Vec<OwnedFd>,
}

impl CgroupSet {
    /// Makes an island's groups with their limits.
    pub(crate) fn create(&self, name: &str, bounds: &ProcessBounds) -> io::Result<Cgroup> {
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
                    return Err(error.into());
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

    /// The same for a berth and its islands: what it takes itself is added to what they may take.
    pub(crate) fn create_for_berth(
        &self,
        name: &str,
        bounds: &ProcessBounds,
    ) -> io::Result<Cgroup> {
        let memory = bounds.memory.saturating_add(BERTH_MEMORY);
        let processes = bounds.processes.saturating_add(1);
        self.create(name, &ProcessBounds { memory, processes, ..*bounds })
    }

    /// Removes an island's groups; false while the kernel still counts a process of it.
    pub(crate) fn remove(&self, group: &Cgroup) -> bool {
        self.folders.iter().all(|parent| {
            let result = unlinkat(parent, group.name.as_str(), UnlinkatFlags::RemoveDir);
            !matches!(result, Err(nix::Error::EBUSY))
        })
    }
}

impl Cgroup {
    fn limit(&self, bounds: &ProcessBounds) -> io::Result<()> {
        let (memory, processes) = (bounds.memory.to_string(), bounds.processes.to_string());
        match (self.version, &self.folders[..]) {
            (Version::Two, [folder]) => {
                write(folder, "memory.max", &memory)?;
                write(folder, "pids.max", &processes)?;
                write(folder, "memory.oom.group", "1")?;
                // A kernel without swap has no such file.
                let _ = write(folder, "memory.swap.max", "0");
                Ok(())
            }
            (Version::One, [in_memory, in_pids]) => {
                write(in_memory, "memory.limit_in_bytes", &memory)?;
                let _ = write(in_memory, "memory.memsw.limit_in_bytes", &memory);
                write(in_pids, "pids.max", &processes)
            }
            _ => Err(io::Error::other("a group with an unexpected number of hierarchies")),
        }
    }

    /// The folder to fork into, where the kernel can.
    pub(crate) fn for_fork(&self) -> Option<BorrowedFd<'_>> {
        (self.version == Version::Two).then(|| self.folders[0].as_fd())
    }

    /// What is open of it.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.folders.iter().map(AsRawFd::as_raw_fd)
    }

    /// Moves this process in, where it could not be forked into.
    pub(crate) fn join_late(&self) -> io::Result<()> {
        if self.version == Version::Two { Ok(()) } else { self.join() }
    }

    /// Moves this process in. The kernel may take ten milliseconds over it, which is why whoever was forked does it by
    /// itself while its launcher goes on.
    pub(crate) fn join(&self) -> io::Result<()> {
        self.folders.iter().try_for_each(|folder| write(folder, "cgroup.procs", "0"))
    }

    /// Whether the kernel killed something in the group for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        self.meter().is_ok_and(|meter| meter.has_killed())
    }

    /// Opens what tells of the group's memory, for a berth that is about to give up the rights to.
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
