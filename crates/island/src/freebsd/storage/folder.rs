//! The folder of a new clone: opened only where the clone is mounted, and filled with its program.
//!
//! Invariants: nothing is written to the mount point of a clone that is not mounted, for that
//! folder belongs to the dataset above.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use host::zfs::SnapshotName;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use crate::freebsd::storage::key::Key;

/// The path of a function's program on its island.
pub const PROGRAM_PATH: &str = "/function";
/// The same path, below the root's folder.
pub(super) const PROGRAM: &str = "function";
/// All users may read and execute the program, and none may write it.
const MODE: u32 = 0o555;

/// How a clone's folder is opened: [`open_mounted`], except in tests without ZFS.
pub type Open = fn(&Path) -> io::Result<File>;

/// Opens the folder of a clone. A folder on the file system of the folder above has no clone
/// mounted on it, and is an error.
pub fn open_mounted(folder: &Path) -> io::Result<File> {
    let opened = open(folder)?;
    let above = folder.join("..").metadata()?;
    if opened.metadata()?.dev() == above.dev() {
        let text = "the clone is not mounted here; set a mountpoint on the datasets above it";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(opened)
}

/// Opens a folder on any file system.
pub(super) fn open(folder: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags).open(folder)
}

/// Copies a program to [`PROGRAM`] in a root, where no file may be, and returns the key of the
/// copy.
pub(super) fn install(root: &File, program: &File, base: &SnapshotName) -> io::Result<Key> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let copy = File::from(openat(root, PROGRAM, flags, Mode::from_bits_truncate(0o500))?);
    let key = Key::of(program, base, &copy)?;
    copy.set_permissions(Permissions::from_mode(MODE))?;
    Ok(key)
}

/// Whether a root has a program.
pub(super) fn has_program(root: &File) -> bool {
    let found = fstatat(root, PROGRAM, AtFlags::AT_SYMLINK_NOFOLLOW);
    found
        .is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
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
        assert!(!has_program(&root));
        let key = install(&root, &program, &base()).unwrap();
        assert!(has_program(&root));
        assert_eq!(key, Key::of(&program, &base(), io::sink()).unwrap());
        let copy = folder.path().join(PROGRAM);
        assert_eq!(std::fs::read(&copy).unwrap(), b"a program");
        assert_eq!(copy.metadata().unwrap().mode() & 0o7777, MODE);
        let error = install(&root, &program, &base()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_link_at_the_programs_path_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let root = folder.path().join("root");
        std::os::unix::fs::symlink(&outside, root.join(PROGRAM)).unwrap();
        let program = tempfile::tempfile().unwrap();
        assert!(install(&open(&root).unwrap(), &program, &base()).is_err());
        assert!(!outside.exists() && !has_program(&open(&root).unwrap()));
        std::os::unix::fs::symlink(&root, folder.path().join("link")).unwrap();
        assert!(open(&folder.path().join("link")).is_err());
    }

    #[test]
    fn a_folder_without_a_mounted_clone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let error = open_mounted(&folder.path().join("root")).unwrap_err();
        assert!(error.to_string().contains("not mounted"), "{error}");
        assert!(open_mounted(&folder.path().join("none")).is_err());
    }
}
