//! A small disk of its own for a state directory: a tmpfs in a mount namespace of the thread that
//! makes it, and of the servers that the thread starts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;

/// The size of the disk. A compiled standard library and a few checkouts have room.
const SIZE: u64 = 2 << 30;
/// The file that fills it.
const FILLER: &str = "filler";

/// The disk; it goes with this value.
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Makes it at a path, which becomes a folder.
    pub(crate) fn new(at: &Path) -> Result<Self, String> {
        let failed = |what: &'static str| move |error: nix::Error| format!("{what}: {error}");
        unshare(CloneFlags::CLONE_NEWNS).map_err(failed("no mount namespace"))?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)
            .map_err(failed("the namespace cannot be made private"))?;
        fs::create_dir_all(at).map_err(|e| e.to_string())?;
        let size = format!("size={SIZE},mode=755");
        mount(Some("torture"), at, Some("tmpfs"), MsFlags::empty(), Some(&*size))
            .map_err(failed("no tmpfs"))?;
        Ok(Self { at: at.to_owned() })
    }

    /// Fills it until so many bytes are free, or fewer.
    pub(crate) fn fill(&self, free: u64) -> Result<(), String> {
        let written = self.write(free);
        written.map_err(|error| format!("the disk cannot be filled: {error}"))
    }

    fn write(&self, free: u64) -> io::Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.at.join(FILLER))?;
        let block = vec![0; 1 << 20];
        loop {
            let more = self.free()?.saturating_sub(free).min(block.len() as u64) as usize;
            if more == 0 {
                return Ok(());
            }
            match filler.write_all(&block[..more]) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                written => written?,
            }
        }
    }

    fn free(&self) -> io::Result<u64> {
        let found = statvfs(&self.at)?;
        Ok(found.blocks_available() * found.fragment_size())
    }

    /// Makes room again.
    pub(crate) fn empty(&self) -> Result<(), String> {
        fs::remove_file(self.at.join(FILLER)).map_err(|e| e.to_string())
    }

    /// Makes the disk read-only, or writable again. The kernel refuses while a file is open for
    /// writing.
    pub(crate) fn set_writable(&self, writable: bool) -> Result<(), nix::Error> {
        let none: Option<&str> = None;
        let flags = match writable {
            true => MsFlags::MS_REMOUNT,
            false => MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        };
        mount(none, &self.at, none, flags, none)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}
