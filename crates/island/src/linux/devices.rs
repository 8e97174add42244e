//! The device files of functions.
//!
//! An inode of the host that many islands can open is a place where one process is seen by another:
//! locks lie on it, and each further one makes the kernel slower for all processes of the host that
//! open or close the file. So each zygote, and each island without one, gets device files of its
//! own, where this process may make such files. Where it may not (the server of an ordinary user,
//! for one), the islands have the host's files, and the system-call filter answers calls that would
//! lock them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, chmodat, makedev, mknodat, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::linux::root::{Step, bind, during, make_folder, open_path};
use crate::linux::sys::{self, Seal};

/// The folder of the launcher's root with the host's device files.
const HOSTS: &str = "/devices";
/// The device files that can be made: name, major and minor number (null(4), random(4)).
const NODES: [(&str, u32, u32); 4] =
    [("null", 1, 3), ("zero", 1, 5), ("random", 1, 8), ("urandom", 1, 9)];

/// Where the device files of a launcher's functions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceSource {
    /// They are made for each island.
    Made,
    /// They are the host's.
    Host,
}

/// The device files of one island, or of one zygote.
pub(crate) enum Devices {
    /// A file system that is mounted nowhere yet.
    Made(OwnedFd),
    /// The host's.
    Host,
}

impl DeviceSource {
    /// Makes device files if this process can make and open them.
    pub(crate) fn find() -> Self {
        let made = make().and_then(|mounted| {
            openat(mounted.as_fd(), "null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            Ok(())
        });
        if made.is_ok() { Self::Made } else { Self::Host }
    }

    /// The device files for an island. The launcher makes them, as the island's user may not.
    pub(crate) fn devices(self) -> io::Result<Devices> {
        match self {
            Self::Made => Ok(Devices::Made(make()?)),
            Self::Host => Ok(Devices::Host),
        }
    }

    /// Shows the host's device files in the root that is being assembled for a launcher.
    pub(crate) fn show(self) -> Step {
        if self == Self::Made {
            return Ok(());
        }
        make_folder(HOSTS)?;
        // Read-only protects the node, for example its dates; writes to the device still reach it.
        let seal = Seal { no_exec: true, read_only: true, ..Seal::default() };
        for (name, ..) in NODES {
            let device = open_path(&Path::new("/dev").join(name))?;
            bind(&device, &Path::new(HOSTS).join(name), false, seal)?;
        }
        Ok(())
    }
}

impl Devices {
    /// Mounts the device files at a folder of this process's mount namespace.
    pub(crate) fn mount(&self, folder: &Path) -> Step {
        let mounted = match self {
            Self::Made(devices) => {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(devices, "", CWD, folder, flags).map_err(io::Error::from)
            }
            Self::Host => {
                let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
                mount(Some(HOSTS), folder, None::<&str>, flags, None::<&str>)
                    .map_err(io::Error::from)
            }
        };
        mounted.map_err(during("mounting the device files"))
    }
}

/// Makes a file system with the device files, read-only, mounted nowhere.
fn make() -> io::Result<OwnedFd> {
    let system = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("size", "64k"), ("nr_inodes", "8"), ("mode", "755")] {
        fsconfig_set_string(system.as_fd(), key, value)?;
    }
    fsconfig_create(system.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mounted = fsmount(system.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    for (name, major, minor) in NODES {
        let (kind, all) = (FileType::CharacterDevice, Mode::from_raw_mode(0o666));
        mknodat(mounted.as_fd(), name, kind, all, makedev(major, minor))?;
        // The mask of this process does not count.
        chmodat(mounted.as_fd(), name, all, AtFlags::empty())?;
    }
    let seal = Seal { no_exec: true, read_only: true, ..Seal::default() };
    sys::seal_mounted(mounted.as_fd(), seal)?;
    Ok(mounted)
}
