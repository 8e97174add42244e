//! nmount(2) and unmount(2).

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, Nmount, unmount as unmount_at};

use crate::freebsd::mounts::Mount;

/// Mounts something at a folder.
pub(in crate::freebsd) fn mount(what: &Mount, at: &Path) -> io::Result<()> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
    let mut parameters = Vec::new();
    for (name, value) in what.parameters(at) {
        let value = value.as_deref().map(text).transpose()?;
        parameters.push((text(name.as_ref())?, value));
    }
    let mut call = Nmount::new();
    for (name, value) in &parameters {
        match value {
            Some(value) => call.str_opt(name, value),
            None => call.null_opt(name),
        };
    }
    call.nmount(MntFlags::empty()).map_err(|error| match error.errmsg() {
        Some(said) => io::Error::other(format!("{}: {said}", error.error().desc())),
        None => error.error().into(),
    })
}

/// Unmounts what is mounted last at a folder, whether something uses it or not. A folder without a
/// mount is no error.
pub(in crate::freebsd) fn unmount(at: &Path) -> io::Result<()> {
    match unmount_at(at, MntFlags::MNT_FORCE) {
        // The kernel looks for a mount with this path, and does not tell whether there is a folder.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
