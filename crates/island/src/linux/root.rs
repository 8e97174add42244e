//! The roots of tools, and what the roots of all islands are made with.
//!
//! Invariants: a root is a tmpfs of its own in a mount namespace of its own, sealed read-only
//! before a stranger's code starts; the host's tree is not part of the namespace any more
//! (pivot_root and a detached unmount); only binds with [`BindMount::writable`], an overlay and the
//! private /tmp are writable; every mount is nosuid.

use std::ffi::CString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::linux::protocol::{OverlayMount, ProcessBounds, ToolRoot};
use crate::linux::seccomp::FilterToken;
use crate::linux::sys::{self, Seal};

/// The folder in which a new root is assembled. Every Linux has it; the process reaches host files
/// below it by descriptors that it opened before.
pub(crate) const SITE: &str = "/tmp";
/// The devices of an island, each a bind mount of the host's node: a user namespace may not make
/// nodes.
const DEVICES: [&str; 4] = ["null", "zero", "urandom", "random"];
/// The most files in a private /tmp.
const TMP_FILES: u64 = 4096;

/// Why a file system could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{step} failed")]
pub(crate) struct RootError {
    step: String,
    source: io::Error,
}

pub(crate) type Step<T = ()> = Result<T, RootError>;

/// Names the step that a failed call belongs to.
pub(crate) fn during<E: Into<io::Error>>(step: impl Display) -> impl FnOnce(E) -> RootError {
    move |error| RootError { step: step.to_string(), source: error.into() }
}

/// Mounts a private /tmp over the empty one of a function's root.
pub(crate) fn mount_tmp(bounds: &ProcessBounds, token: FilterToken) -> Step {
    let options = format!("size={},nr_inodes={TMP_FILES},mode=1777", bounds.tmp);
    let mounted = CString::new(options)
        .map_err(io::Error::from)
        .and_then(|options| sys::mount_tmpfs(c"/tmp", &options, token));
    mounted.map_err(during("mounting /tmp"))
}

/// The host's files that a root shows, opened while this process can still reach them.
///
/// The launcher's user, who may read the files, opens them; the island's user, who owns the new
/// tmpfs, binds them. The process changes its user in between.
pub(crate) struct RootSources {
    binds: Vec<(OwnedFd, bool)>,
    devices: Vec<(OwnedFd, &'static str)>,
    overlay: Option<OverlaySources>,
}

struct OverlaySources {
    lower: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
}

impl RootSources {
    pub(crate) fn open(root: &ToolRoot) -> Step<Self> {
        let mut binds = Vec::with_capacity(root.binds.len());
        for bind in &root.binds {
            let fd = open_path(&bind.source)?;
            let metadata = fd.try_clone().and_then(|fd| File::from(fd).metadata());
            let folder = metadata
                .map_err(during(format_args!("stat of {}", bind.source.display())))?
                .is_dir();
            binds.push((fd, folder));
        }
        let mut devices = Vec::with_capacity(DEVICES.len());
        for name in DEVICES {
            devices.push((open_path(Path::new("/dev").join(name).as_path())?, name));
        }
        let overlay = root.overlay.as_ref().map(OverlaySources::open).transpose()?;
        Ok(Self { binds, devices, overlay })
    }

    /// Builds the root and moves this process into it.
    pub(crate) fn enter(self, root: &ToolRoot) -> Step {
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .map_err(during("making the mounts private"))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("root"), SITE, Some("tmpfs"), flags, Some("size=1m,nr_inodes=1024,mode=755"))
            .map_err(during("mounting the root"))?;
        make_folder("/tmp")?;
        make_folder("/dev")?;
        // Read-only protects the node, for example its dates; writes to the device still reach it.
        let device = Seal { no_exec: true, read_only: true, ..Seal::default() };
        for (fd, name) in &self.devices {
            bind(fd, &Path::new("/dev").join(name), false, device)?;
        }
        for (source, (fd, folder)) in root.binds.iter().zip(&self.binds) {
            let seal = Seal {
                read_only: !source.writable,
                no_devices: true,
                no_exec: false,
                recursive: true,
            };
            bind(fd, &source.target, *folder, seal)?;
        }
        for (path, target) in &root.links {
            parent_folder(path)?;
            symlink(target, site(path))
                .map_err(during(format_args!("making {}", path.display())))?;
        }
        for (path, contents) in &root.files {
            parent_folder(path)?;
            fs::write(site(path), contents)
                .map_err(during(format_args!("making {}", path.display())))?;
        }
        if let (Some(fds), Some(overlay)) = (&self.overlay, &root.overlay) {
            fds.mount(overlay)?;
        }
        drop(self);
        pivot()
    }
}

impl OverlaySources {
    fn open(overlay: &OverlayMount) -> Step<Self> {
        let lower = overlay.lower.iter().map(|path| open_path(path)).collect::<Step<_>>()?;
        Ok(Self { lower, upper: open_path(&overlay.upper)?, work: open_path(&overlay.work)? })
    }

    fn mount(&self, overlay: &OverlayMount) -> Step {
        make_folder(&overlay.target)?;
        let lower: Vec<String> = self.lower.iter().map(by_descriptor).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},userxattr",
            lower.join(":"),
            by_descriptor(&self.upper),
            by_descriptor(&self.work)
        );
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(
            Some("overlay"),
            &site(&overlay.target),
            Some("overlay"),
            flags,
            Some(options.as_str()),
        )
        .map_err(during(format_args!("mounting the overlay at {}", overlay.target.display())))
    }
}

/// Replaces the host's tree by the one at [`SITE`].
pub(crate) fn pivot() -> Step {
    leave_for(Path::new(SITE))?;
    let seal = Seal { read_only: true, no_devices: true, ..Seal::default() };
    sys::seal_mount(c"/", seal).map_err(during("sealing the root"))
}

/// Makes the file system that is mounted at `root` this process's root, and takes the old one out
/// of the mount namespace.
pub(crate) fn leave_for(root: &Path) -> Step {
    std::env::set_current_dir(root).map_err(during("chdir to the new root"))?;
    nix::unistd::pivot_root(".", ".").map_err(during("pivot_root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(during("unmounting the old root"))?;
    std::env::set_current_dir("/").map_err(during("chdir to /"))
}

pub(crate) fn bind(fd: &OwnedFd, target: &Path, folder: bool, seal: Seal) -> Step {
    if folder {
        make_folder(target)?;
    } else {
        parent_folder(target)?;
        File::create(site(target)).map_err(during(format_args!("making {}", target.display())))?;
    }
    let path = site(target);
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(by_descriptor(fd).as_str()), &path, None::<&str>, flags, None::<&str>)
        .map_err(during(format_args!("binding {}", target.display())))?;
    let sealed = CString::new(path.into_os_string().into_encoded_bytes())
        .map_err(io::Error::from)
        .and_then(|path| sys::seal_mount(&path, seal));
    sealed.map_err(during(format_args!("sealing {}", target.display())))
}

pub(crate) fn open_path(path: &Path) -> Step<OwnedFd> {
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC);
    let opened = options.open(path).map_err(during(format_args!("opening {}", path.display())))?;
    Ok(opened.into())
}

fn by_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The path of an island's absolute path while its root is being assembled.
pub(crate) fn site(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    Path::new(SITE).join(path.strip_prefix("/").unwrap_or(path))
}

pub(crate) fn make_folder(path: impl AsRef<Path>) -> Step {
    fs::create_dir_all(site(&path))
        .map_err(during(format_args!("making the folder {}", path.as_ref().display())))
}

pub(crate) fn parent_folder(path: &Path) -> Step {
    path.parent().map_or(Ok(()), make_folder)
}
