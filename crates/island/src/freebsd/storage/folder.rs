//! The folder of a clone that nobody else has yet: opened only where the clone is mounted, and given its program.
//!
//! What must always hold: nothing is written where a clone should be mounted and is not, for that would be the folder
//! of the dataset above it.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use host::zfs::SnapshotName;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::freebsd::storage::key::Key;

/// Where a function's program lies on its island, below the root.
pub(super) const PROGRAM: &str = "function";
/// Everybody may read and execute the program, nobody write it.
const MODE: u32 = 0o555;

/// How a clone's folder is opened; [`open_mounted`] but for tests without ZFS.
pub type Open = fn(&Path) -> io::Result<File>;

/// Opens the folder of a clone, and refuses one that is not mounted: it lies on the file system of the folder above.
pub fn open_mounted(folder: &Path) -> io::Result<File> {
    let opened = open(folder)?;
    let above = folder.join("..").metadata()?;
    if opened.metadata()?.dev() == above.dev() {
        let words = "the clone is not mounted there; do the datasets above it have a mount point?";
        return Err(io::Error::new(io::ErrorKind::NotFound, words));
    }
    Ok(opened)
}

/// Opens a folder, whatever it lies on.
pub(super) fn open(folder: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags).open(folder)
}

/// Copies a program to its place in a root, where nothing may be, and answers the key of what was copied.
pub(super) fn install(root: &File, program: &File, base: &SnapshotName) -> io::Result<Key> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let copy = File::from(openat(root, PROGRAM, flags, Mode::from_bits_truncate(0o500))?);
    let key = Key::of(program, base, &copy)?;
    copy.set_permissions(Permissions::from_mode(MODE))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn base() -> SnapshotName {
        SnapshotName::parse("z/base@p1").unwrap()
    }

    #[test]
    fn a_program_is_copied_whole_executable_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = tempfile::tempfile().unwrap();
        program.write_all(b"a program").unwrap();
        let root = open(folder.path()).unwrap();
        let key = install(&root, &program, &base()).unwrap();
        assert_eq!(key, Key::of(&program, &base(), io::sink()).unwrap());
        let copy = folder.path().join(PROGRAM);
        assert_eq!(std::fs::read(&copy).unwrap(), b"a program");
        assert_eq!(copy.metadata().unwrap().mode() & 0o7777, MODE);
        let error = install(&root, &program, &base()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_link_in_the_programs_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let root = folder.path().join("root");
        std::os::unix::fs::symlink(&outside, root.join(PROGRAM)).unwrap();
        let program = tempfile::tempfile().unwrap();
        assert!(install(&open(&root).unwrap(), &program, &base()).is_err());
        assert!(!outside.exists());
        std::os::unix::fs::symlink(&root, folder.path().join("link")).unwrap();
        assert!(open(&folder.path().join("link")).is_err());
    }

    #[test]
    fn a_folder_on_which_nothing_is_mounted_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let error = open_mounted(&folder.path().join("root")).unwrap_err();
        assert!(error.to_string().contains("not mounted"), "{error}");
        assert!(open_mounted(&folder.path().join("none")).is_err());
    }
}
