//! The root of a function's island.
//!
//! A launcher of functions lives in a small root with a *template*: the folders and files that
//! functions see, as copies. Each zygote, and each island without one, has an overlay of its own
//! over the template, device files of its own ([`Devices`]) and a /tmp of its own.
//!
//! Invariants: no two islands that live at the same time can open the same inode, save for device
//! files where the host's are used; no file of the host's disk can be opened at all, so that none
//! can be flushed to the disk or evicted from memory; everything but /tmp is read-only.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::linux::devices::{DeviceSource, Devices};
use crate::linux::root::{SITE, Step, during, leave_for, make_folder, pivot, site};
use crate::linux::sys::{self, Seal};

/// The folder of a launcher's root whose contents functions see.
const TEMPLATE: &str = "/template";
/// An empty folder: an overlay without a writable layer has two lower ones.
const EMPTY: &str = "/empty";
/// The folder that an island's root is mounted at before the island moves there.
const ISLAND: &str = "/island";
/// The archive of time zones for Go programs, in a function's root.
pub(crate) const ZONES: &str = "/zoneinfo.zip";
/// The folder with the name servers of an island that has an address.
const NAMES: &CStr = c"/etc/island";
const RESOLV: &str = "/etc/island/resolv.conf";
/// The paths at which distributions keep the trusted certificates as one file.
const CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Moves this process, a launcher, into a root with the template: the time zones and, where
/// functions may have addresses, the certificates that the host trusts and the files for name
/// resolution. The caller has a mount namespace of its own. Returns where islands get their device
/// files from.
pub(crate) fn enter_launchers_root(zones: Option<&Path>, addresses: bool) -> Step<DeviceSource> {
    let devices = DeviceSource::find();
    // The files are opened before the new root hides them.
    let open =
        |path: &Path| File::open(path).map_err(during(format_args!("opening {}", path.display())));
    let zones = zones.map(open).transpose()?;
    let certificates = CERTIFICATES.iter().map(Path::new).find(|path| path.is_file());
    let certificates = certificates.filter(|_| addresses).map(open).transpose()?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(during("making the mounts private"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("root"), SITE, Some("tmpfs"), flags, Some("size=64m,nr_inodes=1024,mode=755"))
        .map_err(during("mounting the root"))?;
    for folder in [EMPTY, ISLAND, "/template/dev", "/template/tmp"] {
        make_folder(folder)?;
    }
    if let Some(zones) = zones {
        copy(zones, ZONES)?;
    }
    if let Some(certificates) = certificates {
        make_folder("/template/etc/ssl/certs")?;
        copy(certificates, CERTIFICATES[0])?;
    }
    if addresses {
        make_folder("/template/etc/island")?;
        let write = |path: &str, text: &str| {
            let made = fs::write(site(format!("{TEMPLATE}{path}")), text);
            made.map_err(during(format_args!("making {path}")))
        };
        write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
        write(RESOLV, "")?;
        symlink(RESOLV, site("/template/etc/resolv.conf"))
            .map_err(during("making /etc/resolv.conf"))?;
    }
    devices.show()?;
    pivot()?;
    Ok(devices)
}

/// Copies a file of the host to a path of the template.
fn copy(mut from: File, path: &str) -> Step {
    let to = site(format!("{TEMPLATE}{path}"));
    File::create(&to)
        .and_then(|mut file| io::copy(&mut from, &mut file))
        .and_then(|_| fs::set_permissions(&to, fs::Permissions::from_mode(0o444)))
        .map_err(during(format_args!("copying {path}")))
}

/// Moves this process, which has a mount namespace of its own, from its launcher's root into a root
/// of its own. Its /tmp is still to be mounted.
pub(crate) fn enter_own_root(devices: &Devices) -> Step {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
    let layers = format!("lowerdir={TEMPLATE}:{EMPTY}");
    mount(Some("root"), ISLAND, Some("overlay"), flags, Some(layers.as_str()))
        .map_err(during("mounting the root"))?;
    devices.mount(&Path::new(ISLAND).join("dev"))?;
    leave_for(Path::new(ISLAND))
}

/// Mounts a folder with the island's name servers over the empty one of a function's root.
pub(crate) fn mount_names(dns: &[IpAddr]) -> Step {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = "size=64k,nr_inodes=8,mode=755";
    mount(Some("names"), NAMES, Some("tmpfs"), flags, Some(options))
        .map_err(during("mounting the folder of name servers"))?;
    let servers: String = dns.iter().map(|server| format!("nameserver {server}\n")).collect();
    fs::write(RESOLV, servers).map_err(during(format_args!("writing {RESOLV}")))?;
    let seal = Seal { read_only: true, no_devices: true, no_exec: true, recursive: false };
    sys::seal_mount(NAMES, seal).map_err(during("sealing the folder of name servers"))
}
