//! The file systems that an island sees: the empty root of a function, and the roots of tools.
//!
//! What must always hold: a root is a tmpfs of its own in a mount namespace of its own, sealed read-only before a
//! stranger's code starts; the host's tree is gone from it (pivot_root and a detached unmount); nothing in it is
//! writable but what [`BindMount::writable`], an overlay or the private /tmp says; no mount honours set-user-id.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::linux::protocol::{BindMount, OverlayMount, ProcessBounds, ToolRoot};
use crate::linux::seccomp::FilterToken;
use crate::linux::sys::{self, Seal};

/// Where a new root is put together; every Linux has it, and what lies beneath is reached by descriptors.
const SITE: &str = "/tmp";
/// The devices of an island. Each is the host's own node, for a user namespace may not make one.
const DEVICES: [&str; 4] = ["null", "zero", "urandom", "random"];
/// Where Go finds the time zones, in a function's root.
pub(crate) const ZONES: &str = "/zoneinfo.zip";
/// Where the name servers of an island with an address lie, in a folder of its own.
const NAMES: &str = "/etc/island";
const RESOLV: &str = "/etc/island/resolv.conf";
/// The places where distributions keep the certificates that programs trust, as one file.
const CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The most files in a private /tmp.
const TMP_FILES: u64 = 4096;

type Step<T = ()> = Result<T, String>;

/// Says what was being done when a call failed.
pub(crate) fn failed(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

fn errno(what: impl std::fmt::Display) -> impl FnOnce(nix::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Moves this process into the root that all its functions share: empty but for the devices, an empty /tmp, the time
/// zones and, where functions may have addresses, the certificates that the host trusts and what names need. The caller
/// has a mount namespace of its own.
pub(crate) fn enter_function_root(zones: Option<&Path>, addresses: bool) -> Step {
    let show = |source: &Path, target: &str| BindMount {
        source: source.to_owned(),
        target: target.into(),
        writable: false,
    };
    let mut root =
        ToolRoot { binds: Vec::new(), links: Vec::new(), files: Vec::new(), overlay: None };
    root.binds.extend(zones.map(|source| show(source, ZONES)));
    if addresses {
        let found = CERTIFICATES.iter().map(Path::new).find(|path| path.is_file());
        root.binds.extend(found.map(|source| show(source, CERTIFICATES[0])));
        root.files.push(("/etc/hosts".into(), "127.0.0.1 localhost\n::1 localhost\n".into()));
        root.files.push((RESOLV.into(), String::new()));
        root.links.push(("/etc/resolv.conf".into(), RESOLV.into()));
    }
    RootSources::open(&root)?.enter(&root)
}

/// Mounts a folder with an island's own name servers over the shared root's empty one.
pub(crate) fn mount_names(dns: &[IpAddr]) -> Step {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = "size=64k,nr_inodes=8,mode=755";
    mount(Some("names"), NAMES, Some("tmpfs"), flags, Some(options))
        .map_err(errno("mount names"))?;
    let servers: String = dns.iter().map(|server| format!("nameserver {server}\n")).collect();
    fs::write(RESOLV, servers).map_err(failed(RESOLV))?;
    let seal = Seal { read_only: true, no_devices: true, no_exec: true, recursive: false };
    sys::seal_mount(c"/etc/island", seal).map_err(failed("seal the names"))
}

/// Mounts a private /tmp over the shared root's empty one.
pub(crate) fn mount_tmp(bounds: &ProcessBounds, token: FilterToken) -> Step {
    let options = format!("size={},nr_inodes={TMP_FILES},mode=1777", bounds.tmp);
    let options = CString::new(options).map_err(|e| e.to_string())?;
    sys::mount_tmpfs(c"/tmp", &options, token).map_err(failed("mount /tmp"))
}

/// The host's files that a root shows, opened while they can still be reached.
///
/// They are opened by whoever may read them, and bound by whoever owns the new tmpfs; between the two the process
/// changes its user.
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
            let folder = File::from(fd.try_clone().map_err(failed("dup"))?)
                .metadata()
                .map_err(failed(bind.source.display()))?
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
            .map_err(errno("make the mounts private"))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("root"), SITE, Some("tmpfs"), flags, Some("size=1m,nr_inodes=1024,mode=755"))
            .map_err(errno("mount the root"))?;
        make_folder("/tmp")?;
        make_folder("/dev")?;
        // Read-only concerns the node, its date for one; what is written to the device goes there all the same.
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
            symlink(target, site(path)).map_err(failed(path.display()))?;
        }
        for (path, contents) in &root.files {
            parent_folder(path)?;
            fs::write(site(path), contents).map_err(failed(path.display()))?;
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
        .map_err(errno("mount the overlay"))
    }
}

/// Leaves the host's tree for the one at [`SITE`].
fn pivot() -> Step {
    std::env::set_current_dir(SITE).map_err(failed(SITE))?;
    nix::unistd::pivot_root(".", ".").map_err(errno("pivot_root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(errno("leave the old root"))?;
    std::env::set_current_dir("/").map_err(failed("/"))?;
    let seal = Seal { read_only: true, no_devices: true, ..Seal::default() };
    sys::seal_mount(c"/", seal).map_err(failed("seal the root"))
}

fn bind(fd: &OwnedFd, target: &Path, folder: bool, seal: Seal) -> Step {
    if folder {
        make_folder(target)?;
    } else {
        parent_folder(target)?;
        File::create(site(target)).map_err(failed(target.display()))?;
    }
    let place = site(target);
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(by_descriptor(fd).as_str()), &place, None::<&str>, flags, None::<&str>)
        .map_err(errno(format_args!("bind {}", target.display())))?;
    let place =
        CString::new(place.into_os_string().into_encoded_bytes()).map_err(|e| e.to_string())?;
    sys::seal_mount(&place, seal).map_err(failed(format_args!("seal {}", target.display())))
}

fn open_path(path: &Path) -> Step<OwnedFd> {
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC);
    Ok(options.open(path).map_err(failed(path.display()))?.into())
}

fn by_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The place of an island's absolute path while its root is being built.
fn site(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    Path::new(SITE).join(path.strip_prefix("/").unwrap_or(path))
}

fn make_folder(path: impl AsRef<Path>) -> Step {
    fs::create_dir_all(site(&path)).map_err(failed(path.as_ref().display()))
}

fn parent_folder(path: &Path) -> Step {
    path.parent().map_or(Ok(()), make_folder)
}
