//! The parts of jails on this host's kernel.

use std::io;
use std::path::Path;

use crate::freebsd::mounts::Mount;
use crate::freebsd::parts::Kernel;
use crate::freebsd::sys;

/// This host's kernel.
pub(super) struct HostKernel;

impl Kernel for HostKernel {
    fn mount(&mut self, what: &Mount, at: &Path) -> io::Result<()> {
        sys::mount::mount(what, at)
    }

    fn unmount(&mut self, at: &Path) -> io::Result<()> {
        sys::mount::unmount(at)
    }

    fn add_rule(&mut self, rule: &str) -> io::Result<()> {
        sys::rctl::add_rule(rule)
    }

    fn remove_rules(&mut self, subject: &str) -> io::Result<()> {
        sys::rctl::remove_rules(subject)
    }

    fn remove_folder(&mut self, folder: &Path) -> io::Result<()> {
        match std::fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
