//! From what an island is for to what is made for it: mounts, the pieces of a tool's root, and limits.
//!
//! What must always hold: pure, but for looking at what kind of thing a bind names. A function's root has the devices and
//! a private /tmp over its clone; a tool's has what it is to see besides the build jail, each writable folder by itself.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::StartError;
use crate::freebsd::mounts::Mount;
use crate::freebsd::params::Reach;
use crate::freebsd::protocol::ProcessBounds;
use crate::spec::{Bind, Limits, Program, Purpose, Rights, Spec, ToolRights};

/// Descriptors that a process of an island may have open.
pub const OPEN_FILES: u64 = 1024;
/// Files of a tool's own: a go command that keeps no statistics of itself.
const FILES: [(&str, &str); 1] = [("/config/go/telemetry/mode", "off\n")];

/// Files of the host that resolving names reads and the base system has not, or has as it came. A fetch is given a copy.
const NAMES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// What is made for one island.
#[derive(Debug)]
pub struct IslandPlan {
    /// What its root is a clone of.
    pub root: Root,
    /// What is mounted in it, in this order; paths as the island sees them.
    pub mounts: Vec<(PathBuf, Mount)>,
    /// What it reaches.
    pub reach: Reach,
    /// The limits of its processes.
    pub bounds: ProcessBounds,
    /// Bytes of memory of all of them together.
    pub memory: u64,
    /// Whether a stranger's function runs on it.
    pub function: bool,
    /// Nobody waits for it.
    pub background: bool,
}

/// What a root is a clone of.
#[derive(Debug)]
pub enum Root {
    /// The artifact of this program.
    Function(Arc<File>),
    /// The build jail, with these pieces added.
    Tool(Vec<Piece>),
}

/// Something that a tool's root has and the build jail has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An empty folder, to mount something on.
    Folder(PathBuf),
    /// A copy of a file of the host.
    Copy {
        /// Where it lies on the host.
        source: PathBuf,
        /// Where the island sees it.
        target: PathBuf,
    },
    /// A small file.
    Text {
        /// Where the island sees it.
        target: PathBuf,
        /// What it says.
        text: &'static str,
    },
}

/// The plan of an island. `base` is the address space, in bytes, of a Go program that does nothing.
pub fn plan(
    spec: &Spec,
    base: u64,
    address: Option<std::net::IpAddr>,
) -> Result<IslandPlan, StartError> {
    let devices = (PathBuf::from("/dev"), Mount::Devices);
    let limits = &spec.limits;
    match &spec.rights {
        Rights::Function => {
            let Program::File(program) = &spec.program else {
                return Err(StartError::Refused("a function is an open file".into()));
            };
            Ok(IslandPlan {
                root: Root::Function(program.clone()),
                mounts: vec![devices, ("/tmp".into(), Mount::Tmp(limits.tmp))],
                reach: address.map_or(Reach::Nothing, Reach::Address),
                bounds: bounds(limits, base, Some(limits.processes)),
                memory: limits.memory,
                function: true,
                background: false,
            })
        }
        Rights::Tool(tool) => {
            if tool.overlay.is_some() {
                return Err(StartError::Unsupported(
                    "folders cannot be laid over each other".into(),
                ));
            }
            let mut mounts = vec![devices];
            let pieces = pieces(tool, &mut mounts)?;
            Ok(IslandPlan {
                root: Root::Tool(pieces),
                mounts,
                reach: match tool.purpose {
                    Purpose::Fetch => Reach::Host,
                    Purpose::Build => Reach::Nothing,
                },
                // The user of all builds is one, so a limit on that user's processes would be shared by all.
                bounds: bounds(limits, base, None),
                memory: limits.memory,
                function: false,
                background: tool.background,
            })
        }
    }
}

impl IslandPlan {
    /// The folders of the host that the island may write.
    pub fn writes(&self) -> Vec<PathBuf> {
        let writable = |(_, mount): &(PathBuf, Mount)| match mount {
            Mount::Folder { source, writable: true } => Some(source.clone()),
            _ => None,
        };
        self.mounts.iter().filter_map(writable).collect()
    }
}

/// What is added to the build jail for a tool, and what is mounted on it. A folder is mounted, a file is copied: a
/// mount of a single file is not to be had on every FreeBSD.
fn pieces(tool: &ToolRights, mounts: &mut Vec<(PathBuf, Mount)>) -> Result<Vec<Piece>, StartError> {
    let mut pieces: Vec<_> =
        FILES.iter().map(|(target, text)| Piece::Text { target: target.into(), text }).collect();
    if tool.purpose == Purpose::Fetch {
        let there = NAMES.map(PathBuf::from).into_iter().filter(|file| file.is_file());
        pieces.extend(there.map(|file| Piece::Copy { source: file.clone(), target: file }));
    }
    for Bind { source, target, writable } in &tool.binds {
        let refused = |why: String| {
            StartError::Refused(format!("{} cannot be shown: {why}", source.display()))
        };
        let metadata = source.metadata().map_err(|error| refused(error.to_string()))?;
        if metadata.is_dir() {
            pieces.push(Piece::Folder(target.clone()));
            let mount = Mount::Folder { source: source.clone(), writable: *writable };
            mounts.push((target.clone(), mount));
        } else if *writable {
            return Err(refused("only a folder can be written".into()));
        } else {
            pieces.push(Piece::Copy { source: source.clone(), target: target.clone() });
        }
    }
    Ok(pieces)
}

fn bounds(limits: &Limits, base: u64, processes: Option<u64>) -> ProcessBounds {
    let file_size = match &limits.disk {
        Some(disk) => disk.bytes,
        None => limits.tmp,
    };
    let address_space = base.saturating_add(limits.memory);
    ProcessBounds { address_space, processes, files: OPEN_FILES, file_size }
}

/// Adds pieces to a root whose folder nobody else has. No link in it is followed.
pub fn add_pieces(root: &Path, pieces: &[Piece]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for piece in pieces {
        match piece {
            Piece::Folder(target) => {
                add_folder(root, target)?;
            }
            Piece::Copy { source, target } => {
                let place = add_file(root, target)?;
                std::fs::copy(source, &place)?;
                let mode = source.metadata()?.permissions().mode() & 0o555 | 0o444;
                std::fs::set_permissions(&place, std::fs::Permissions::from_mode(mode))?;
            }
            Piece::Text { target, text } => std::fs::write(add_file(root, target)?, text)?,
        }
    }
    Ok(())
}

/// The place of a file that is not there yet, its folder made.
fn add_file(root: &Path, target: &Path) -> std::io::Result<PathBuf> {
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(std::io::Error::other(format!("{} names no file", target.display())));
    };
    let place = add_folder(root, folder)?.join(name);
    match place.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => Err(in_the_way(target)),
        _ => Ok(place),
    }
}

fn add_folder(root: &Path, target: &Path) -> std::io::Result<PathBuf> {
    let mut place = root.to_owned();
    for part in target.components() {
        match part {
            std::path::Component::RootDir => continue,
            std::path::Component::Normal(name) => place.push(name),
            _ => return Err(std::io::Error::other(format!("{} is not plain", target.display()))),
        }
        match place.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(in_the_way(target)),
            Err(_) => std::fs::create_dir(&place)?,
        }
    }
    Ok(place)
}

fn in_the_way(target: &Path) -> std::io::Error {
    std::io::Error::other(format!("something is in the way of {}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    fn limits() -> Limits {
        Limits {
            deadline: Duration::from_secs(1),
            memory: 100,
            processes: 7,
            output: 1,
            tmp: 4096,
            disk: None,
        }
    }

    fn tool(purpose: Purpose, binds: Vec<Bind>) -> Spec {
        let program = Arc::new(tempfile::tempfile().unwrap());
        let rights = ToolRights { purpose, binds, overlay: None, background: false };
        Spec { rights: Rights::Tool(rights), ..Spec::function(program, limits()) }
    }

    #[test]
    fn a_function_has_devices_a_private_tmp_and_no_network() {
        let spec = Spec::function(Arc::new(tempfile::tempfile().unwrap()), limits());
        let plan = plan(&spec, 1000, None).unwrap();
        let expected = [("/dev".into(), Mount::Devices), ("/tmp".into(), Mount::Tmp(4096))];
        assert_eq!(plan.mounts, expected);
        assert_eq!((plan.reach, plan.bounds.address_space), (Reach::Nothing, 1100));
        assert_eq!((plan.bounds.processes, plan.bounds.file_size), (Some(7), 4096));
        assert!(plan.writes().is_empty());
    }

    #[test]
    fn a_tool_is_shown_folders_by_mounts_and_files_by_copies() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let bind = |source: &Path, target: &str, writable| Bind {
            source: source.into(),
            target: target.into(),
            writable,
        };
        let binds = vec![bind(folder.path(), "/out", true), bind(&file, "/given/file", false)];
        let made = plan(&tool(Purpose::Build, binds), 0, None).unwrap();
        assert_eq!(made.writes(), [folder.path()]);
        assert_eq!((made.reach, made.bounds.processes), (Reach::Nothing, None));
        let Root::Tool(pieces) = &made.root else { panic!("a tool's root") };
        assert!(pieces.contains(&Piece::Folder("/out".into())));
        assert!(
            pieces.contains(&Piece::Copy { source: file.clone(), target: "/given/file".into() })
        );
        assert_eq!(plan(&tool(Purpose::Fetch, Vec::new()), 0, None).unwrap().reach, Reach::Host);
        let bad = [bind(&file, "/given/file", true), bind(Path::new("/no/such"), "/x", false)];
        for bind in bad {
            let error = plan(&tool(Purpose::Build, vec![bind.clone()]), 0, None).unwrap_err();
            assert!(error.to_string().contains(&*bind.source.to_string_lossy()), "{error}");
        }
    }

    #[test]
    fn pieces_stay_in_their_root() {
        let (root, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(host.path(), root.path().join("sys")).unwrap();
        let text = |target: &str| Piece::Text { target: target.into(), text: "said" };
        add_pieces(root.path(), &[text("/a/b/c"), Piece::Folder("/a/b/d".into())]).unwrap();
        assert_eq!(std::fs::read_to_string(root.path().join("a/b/c")).unwrap(), "said");
        symlink(host.path().join("new"), root.path().join("link")).unwrap();
        for piece in [text("/sys/c"), text("/../c"), text("/link"), Piece::Folder("/sys/x".into())]
        {
            assert!(add_pieces(root.path(), std::slice::from_ref(&piece)).is_err(), "{piece:?}");
        }
        assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 0);
        let copy = Piece::Copy { source: root.path().join("a/b/c"), target: "/copied".into() };
        add_pieces(root.path(), &[copy]).unwrap();
        use std::os::unix::fs::PermissionsExt;
        let mode = root.path().join("copied").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
    }
}
