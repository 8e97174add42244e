//! The private /tmp of a zygote, and whether an island has changed it.
//!
//! Invariants: an island cannot tell its /tmp from a newly mounted one. /tmp holds no file if no
//! inode and no block is in use. No file was there and was removed if the folder's dates are the
//! ones from the mount: the modification date lies in 1970, to which only the folder's owner can
//! set it back, and no process can set the change date.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::statfs::statfs;
use nix::sys::time::TimeSpec;

use crate::linux::confine::UNPRIVILEGED;
use crate::linux::protocol::ProcessBounds;
use crate::linux::root::{RootError, during, mount_tmp};
use crate::linux::seccomp::FilterToken;
use crate::linux::sys;

const FOLDER: &str = "/tmp";
/// The pause between two looks at the kernel's coarse clock, which moves on within ten
/// milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// A mounted /tmp.
pub(crate) struct Tmp {
    bounds: ProcessBounds,
    token: FilterToken,
    mounted: TmpState,
}

/// The observable state of a file system of which no file is open.
#[derive(Debug, PartialEq, Eq)]
struct TmpState {
    free_files: u64,
    free_blocks: u64,
    /// Device, inode, mode, user, group, links and size of the folder /tmp.
    folder: [u64; 7],
    /// The dates of access, modification and change: seconds and nanoseconds.
    dates: [(i64, i64); 3],
}

impl Tmp {
    /// Mounts a /tmp.
    pub(crate) fn mount(bounds: ProcessBounds, token: FilterToken) -> Result<Self, RootError> {
        mount_tmp(&bounds, token)?;
        let epoch = TimeSpec::new(0, 0);
        let follow = UtimensatFlags::FollowSymlink;
        utimensat(nix::fcntl::AT_FDCWD, FOLDER, &epoch, &epoch, follow)
            .map_err(during("dating /tmp"))?;
        let mounted = TmpState::now().map_err(during("stat of /tmp"))?;
        if mounted.folder[3] == u64::from(UNPRIVILEGED) {
            // The island owns the folder and could set back the modification date. The change date
            // gives the island away if its changes get a later date than the mount.
            wait_past(mounted.dates[2]).map_err(during("reading the clock"))?;
        }
        Ok(Self { bounds, token, mounted })
    }

    /// Replaces /tmp by a new one if an island has changed it; returns whether it did.
    pub(crate) fn renew(&mut self) -> Result<bool, RootError> {
        if TmpState::now().is_ok_and(|now| now == self.mounted) {
            return Ok(false);
        }
        sys::unmount(c"/tmp", self.token).map_err(during("unmounting /tmp"))?;
        *self = Self::mount(self.bounds, self.token)?;
        Ok(true)
    }
}

impl TmpState {
    fn now() -> io::Result<Self> {
        let system = statfs(FOLDER)?;
        let at = std::fs::metadata(FOLDER)?;
        let (mode, user, group) = (at.mode().into(), at.uid().into(), at.gid().into());
        Ok(Self {
            free_files: system.files_free(),
            free_blocks: system.blocks_free(),
            folder: [at.dev(), at.ino(), mode, user, group, at.nlink(), at.size()],
            dates: [
                (at.atime(), at.atime_nsec()),
                (at.mtime(), at.mtime_nsec()),
                (at.ctime(), at.ctime_nsec()),
            ],
        })
    }
}

/// Waits until a change would get a later date than `date`.
fn wait_past(date: (i64, i64)) -> io::Result<()> {
    loop {
        if sys::file_clock()? > date {
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
}
