//! What the islands of tools see of the host: its programs and libraries, read-only, and for fetching the few files that
//! names, certificates and connections need.

use std::path::{Path, PathBuf};

use crate::linux::protocol::{BindMount, OverlayMount, ToolRoot};
use crate::spec::{Purpose, ToolRights};

/// Programs and libraries. Where the host has a link instead of a folder, the island gets the same link.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// What resolving names and checking certificates reads.
const NETWORK: [&str; 9] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gai.conf",
];
/// Files of the island's own: its only user, and a go command that keeps no statistics of itself.
const FILES: [(&str, &str); 3] = [
    ("/etc/passwd", "nobody:x:65534:65534:nobody:/tmp:/bin/false\n"),
    ("/etc/group", "nobody:x:65534:\n"),
    ("/config/go/telemetry/mode", "off\n"),
];

pub(super) fn root(tool: &ToolRights) -> ToolRoot {
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
        for path in NETWORK.iter().map(Path::new).filter(|path| path.exists()) {
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
