//! The files of the host on the islands of tools: programs and libraries, read-only, and for
//! fetching the certificates.

use std::path::{Path, PathBuf};

use crate::id::IslandId;
use crate::linux::protocol::{
    BindMount, IslandRequest, Network, OverlayMount, ProcessBounds, ToolRoot,
};
use crate::spec::{Purpose, ToolRights};

/// Programs and libraries. Where the host has a symbolic link instead of a folder, the island gets
/// the same link.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// The files that the verification of certificates reads.
const CERTIFICATES: [&str; 4] =
    ["/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies"];
/// The names that a fetch resolves by itself; its gate resolves all others.
const NAMES: [(&str, &str); 2] = [
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/nsswitch.conf", "hosts: files\n"),
];
/// Files that only the island has: its only user, and a setting that turns the go command's
/// telemetry off.
const FILES: [(&str, &str); 3] = [
    ("/etc/passwd", "nobody:x:65534:65534:nobody:/tmp:/bin/false\n"),
    ("/etc/group", "nobody:x:65534:\n"),
    ("/config/go/telemetry/mode", "off\n"),
];

/// The request for a tool's island.
pub(super) fn request(
    id: &IslandId,
    host_id: Option<u32>,
    tool: &ToolRights,
    bounds: ProcessBounds,
) -> IslandRequest {
    let network = match tool.purpose {
        Purpose::Fetch => Network::Loopback,
        Purpose::Build => Network::None,
    };
    let (id, background, root) = (id.to_string(), tool.background, Some(root(tool)));
    IslandRequest { id, host_id, network, bounds, background, root, go: None }
}

/// The root of a tool's island.
fn root(tool: &ToolRights) -> ToolRoot {
    let mut root = ToolRoot {
        binds: Vec::new(),
        links: Vec::new(),
        files: FILES.iter().map(|(path, text)| (path.into(), (*text).into())).collect(),
        overlay: tool.overlay.as_ref().map(|overlay| OverlayMount {
            lower: overlay.lower.clone(),
            upper: overlay.upper.clone(),
            work: overlay.work.clone(),
            target: overlay.target.clone(),
        }),
    };
    for path in SYSTEM {
        add_system(&mut root, Path::new(path));
    }
    if tool.purpose == Purpose::Fetch {
        root.files.extend(NAMES.iter().map(|(path, text)| (path.into(), (*text).into())));
        for path in CERTIFICATES.iter().map(Path::new).filter(|path| path.exists()) {
            root.binds.push(BindMount {
                source: path.into(),
                target: path.into(),
                writable: false,
            });
        }
    }
    root.binds.extend(tool.binds.iter().map(|bind| BindMount {
        source: bind.source.clone(),
        target: bind.target.clone(),
        writable: bind.writable,
    }));
    root
}

fn add_system(root: &mut ToolRoot, path: &Path) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if metadata.is_symlink() {
        if let Ok(target) = std::fs::read_link(path) {
            root.links.push((path.into(), target));
        }
    } else if metadata.is_dir() {
        let path: PathBuf = path.into();
        root.binds.push(BindMount { source: path.clone(), target: path, writable: false });
    }
}
