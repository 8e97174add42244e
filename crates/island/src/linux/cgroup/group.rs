//! The control groups of one island, which a launcher makes.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::linux::cgroup::error::CgroupError;
use crate::linux::cgroup::layout::Version;
use crate::linux::cgroup::share::{self, Setting, Share, Sharing};
use crate::linux::meter::MemoryMeter;
use crate::linux::protocol::ProcessBounds;

/// The most memory, in bytes, that a zygote uses of the group that it shares with its islands.
const ZYGOTE_MEMORY: u64 = 1 << 20;
/// The number of version 1's hierarchies that limit something: memory and processes.
const LIMITS: usize = 2;

/// The opened home of a launcher, in which the launcher makes its islands' groups.
pub(crate) struct CgroupSet {
    version: Version,
    sharing: Sharing,
    /// The processors of this machine.
    processors: u64,
    folders: Vec<OwnedFd>,
}

/// An island's group in each hierarchy.
pub(crate) struct Cgroup {
    version: Version,
    name: String,
    folders: Vec<OwnedFd>,
}

impl CgroupSet {
    /// The opened folders of a home, one for each hierarchy: in version 1 memory, processes, and,
    /// where the groups share it, the processors.
    pub(crate) fn new(version: Version, sharing: Sharing, folders: Vec<OwnedFd>) -> Self {
        Self { version, sharing, processors: share::processors(), folders }
    }

    /// Makes an island's groups with their limits.
    pub(crate) fn create(
        &self,
        name: &str,
        bounds: &ProcessBounds,
        share: Share,
    ) -> Result<Cgroup, CgroupError> {
        let mut group =
            Cgroup { version: self.version, name: name.to_owned(), folders: Vec::new() };
        let hierarchies = match share.is_in_cpu_hierarchy() {
            true => self.folders.len(),
            false => LIMITS,
        };
        for parent in self.folders.iter().take(hierarchies) {
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
        match group.limit(bounds).and_then(|()| group.share(&self.settings(share))) {
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
        self.create(name, &ProcessBounds { memory, processes, ..*bounds }, Share::Function)
    }

    /// What makes an island's part of what the groups share.
    fn settings(&self, share: Share) -> Vec<Setting> {
        let mut settings = Vec::new();
        if self.sharing.cpu {
            settings.extend(share.processors(self.version, self.processors));
        }
        if self.sharing.io {
            settings.extend(share.disks());
        }
        settings
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
            (Version::One, [in_memory, in_pids, ..]) => {
                set(in_memory, "memory.limit_in_bytes", &memory)?;
                let _ = write(in_memory, "memory.memsw.limit_in_bytes", &memory);
                set(in_pids, "pids.max", &processes)
            }
            _ => Err(CgroupError::NoHierarchy),
        }
    }

    /// Sets the island's part of what the groups share.
    fn share(&self, settings: &[Setting]) -> Result<(), CgroupError> {
        let folder = match self.version {
            Version::One => self.folders.get(LIMITS),
            Version::Two => self.folders.first(),
        };
        let Some(folder) = folder else { return Ok(()) };
        for Setting { file, value, required } in settings {
            match write(folder, file, value) {
                Err(source) if *required => return Err(CgroupError::Limit { file, source }),
                _ => {}
            }
        }
        Ok(())
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
