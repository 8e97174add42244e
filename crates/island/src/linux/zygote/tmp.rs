//! The private /tmp of a berth, and whether it is as it was when it was mounted.
//!
//! What must always hold: an island's /tmp differs in nothing from one that was mounted for it. No file lies in it if no
//! inode and no block is in use. Nothing was there and went again if the folder's dates are those that it had: its date
//! of modification lies in 1970, where only its owner can set it back to, and the date of change is nobody's to set.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::statfs::statfs;
use nix::sys::time::TimeSpec;

use crate::linux::confine::NOBODY;
use crate::linux::protocol::ProcessBounds;
use crate::linux::root::{failed, mount_tmp};
use crate::linux::seccomp::FilterToken;
use crate::linux::sys;

const PLACE: &str = "/tmp";
/// How often it is asked whether the kernel's clock has moved on; it does within ten milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// A mounted /tmp.
pub(crate) struct Tmp {
    bounds: ProcessBounds,
    token: FilterToken,
    mounted: TmpState,
}

/// All that can be told of a file system that nobody has a file of.
#[derive(Debug, PartialEq, Eq)]
struct TmpState {
    free_files: u64,
    free_blocks: u64,
    /// Device, inode, mode, user, group, links and size of its folder.
    folder: [u64; 7],
    /// Accessed, modified, changed: seconds and nanoseconds.
    dates: [(i64, i64); 3],
}

impl Tmp {
    pub(crate) fn mount(bounds: ProcessBounds, token: FilterToken) -> Result<Self, String> {
        mount_tmp(&bounds, token)?;
        let epoch = TimeSpec::new(0, 0);
        let follow = UtimensatFlags::FollowSymlink;
        utimensat(nix::fcntl::AT_FDCWD, PLACE, &epoch, &epoch, follow)
            .map_err(|error| format!("date /tmp: {error}"))?;
        let mounted = TmpState::now().map_err(failed("look at /tmp"))?;
        if mounted.folder[3] == u64::from(NOBODY) {
            // The island owns the folder and could set back what it was modified: its changes must get another date.
            wait_past(mounted.dates[2]).map_err(failed("wait for the clock"))?;
        }
        Ok(Self { bounds, token, mounted })
    }

    /// Puts another in its place unless it is as it was; whether it did.
    pub(crate) fn renew(&mut self) -> Result<bool, String> {
        if TmpState::now().is_ok_and(|now| now == self.mounted) {
            return Ok(false);
        }
        sys::unmount(c"/tmp", self.token).map_err(failed("unmount /tmp"))?;
        *self = Self::mount(self.bounds, self.token)?;
        Ok(true)
    }
}

impl TmpState {
    fn now() -> io::Result<Self> {
        let system = statfs(PLACE)?;
        let at = std::fs::metadata(PLACE)?;
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

/// Waits until what is changed gets a later date than this one.
fn wait_past(date: (i64, i64)) -> io::Result<()> {
    loop {
        if sys::file_clock()? > date {
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
}
