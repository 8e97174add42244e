//! The plan of an island: its mounts, the pieces of a tool's root, its network and its limits.
//!
//! Invariants: planning changes nothing, and only looks whether a bind is a file or a folder. A
//! function's root has the devices and a private /tmp over a view of its artifact. A tool's root
//! has the build jail and its binds, each writable folder as a mount of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::causes::chain;

use crate::backend::StartError;
use crate::freebsd::mounts::Mount;
use crate::freebsd::params::Reach;
use crate::freebsd::protocol::ProcessBounds;
use crate::spec::{Bind, OPEN_FILES, Program, Purpose, Resources, Rights, Spec, ToolRights};

/// The files that each tool's root gets: the go command keeps no statistics.
const FILES: [(&str, &str); 1] = [("/config/go/telemetry/mode", "off\n")];

/// The files that name resolution reads. A fetch gets copies of the host's files, because the base
/// system has none or has its defaults.
const NAMES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// What is made for one island.
#[derive(Debug)]
pub struct IslandPlan {
    /// The root.
    pub root: RootPlan,
    /// The mounts in the root, in order; paths as the island sees them.
    pub mounts: Vec<(PathBuf, Mount)>,
    /// The network that the island reaches.
    pub reach: Reach,
    /// The limits of each process.
    pub bounds: ProcessBounds,
    /// Bytes of memory for all processes together.
    pub memory: u64,
    /// Whether a function runs on the island; a tool runs on the others.
    pub function: bool,
    /// No caller waits for the island, so that it gets the lowest priority.
    pub background: bool,
}

/// What a root is made of.
#[derive(Debug)]
pub enum RootPlan {
    /// A view of the artifact of this program.
    Function(Arc<File>),
    /// A clone of the build jail, with these pieces added.
    Tool(Vec<Piece>),
}

/// Something that is added to the build jail for a tool's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An empty folder, to mount something on.
    Folder(PathBuf),
    /// A copy of a file of the host.
    Copy {
        /// The path on the host.
        source: PathBuf,
        /// The path on the island.
        target: PathBuf,
    },
    /// A small file.
    Text {
        /// The path on the island.
        target: PathBuf,
        /// The contents.
        text: &'static str,
    },
}

/// Why there is no plan for an island.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A function's program is a path.
    #[error("a function's program must be an open file, and is a path")]
    ProgramPath,
    /// A tool has an overlay, which Linux alone has.
    #[error("jails have no overlay folders")]
    Overlay,
    /// A bind's source cannot be looked at.
    #[error("{} cannot be shown to the island", source_path.display())]
    Missing {
        /// The path on the host.
        source_path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A bind makes a file writable.
    #[error("{} cannot be writable in the island: only a folder can", source_path.display())]
    WritableFile {
        /// The path on the host.
        source_path: PathBuf,
    },
}

impl From<PlanError> for StartError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Overlay => Self::Unsupported(chain(&error)),
            error => Self::Refused(chain(&error)),
        }
    }
}

/// Plans an island. `base` is the address space, in bytes, of a Go program that does nothing.
pub fn plan(
    spec: &Spec,
    base: u64,
    address: Option<std::net::IpAddr>,
) -> Result<IslandPlan, PlanError> {
    let devices = (PathBuf::from("/dev"), Mount::Devices);
    let limits = &spec.setup.resources;
    match &spec.setup.rights {
        Rights::Function => {
            let Program::File(program) = &spec.program else {
                return Err(PlanError::ProgramPath);
            };
            Ok(IslandPlan {
                root: RootPlan::Function(program.clone()),
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
                return Err(PlanError::Overlay);
            }
            let mut mounts = vec![devices];
            let pieces = pieces(tool, &mut mounts)?;
            Ok(IslandPlan {
                root: RootPlan::Tool(pieces),
                mounts,
                reach: match tool.purpose {
                    Purpose::Fetch => Reach::Host,
                    Purpose::Build => Reach::Nothing,
                },
                // All builds have one user, and would share a limit on the processes of that user.
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

    /// The mounts with their paths on the host.
    pub fn mounts_in(&self, root: &Path) -> Vec<(PathBuf, Mount)> {
        let at = |at: &Path| root.join(at.strip_prefix("/").unwrap_or(at));
        self.mounts.iter().map(|(path, mount)| (at(path), mount.clone())).collect()
    }
}

/// The pieces of a tool's root; adds the mounts on it to `mounts`. A folder is mounted and a file
/// is copied, because older FreeBSD releases cannot mount a single file.
fn pieces(tool: &ToolRights, mounts: &mut Vec<(PathBuf, Mount)>) -> Result<Vec<Piece>, PlanError> {
    let mut pieces: Vec<_> =
        FILES.iter().map(|(target, text)| Piece::Text { target: target.into(), text }).collect();
    if tool.purpose == Purpose::Fetch {
        let there = NAMES.map(PathBuf::from).into_iter().filter(|file| file.is_file());
        pieces.extend(there.map(|file| Piece::Copy { source: file.clone(), target: file }));
    }
    for Bind { source, target, writable } in &tool.binds {
        let source_path = source.clone();
        let metadata = match source.metadata() {
            Ok(metadata) => metadata,
            Err(cause) => return Err(PlanError::Missing { source_path, cause }),
        };
        if metadata.is_dir() {
            pieces.push(Piece::Folder(target.clone()));
            let mount = Mount::Folder { source: source.clone(), writable: *writable };
            mounts.push((target.clone(), mount));
        } else if *writable {
            return Err(PlanError::WritableFile { source_path });
        } else {
            pieces.push(Piece::Copy { source: source.clone(), target: target.clone() });
        }
    }
    Ok(pieces)
}

fn bounds(limits: &Resources, base: u64, processes: Option<u64>) -> ProcessBounds {
    let file_size = match &limits.disk {
        Some(disk) => disk.bytes,
        None => limits.tmp,
    };
    let address_space = base.saturating_add(limits.memory);
    ProcessBounds { address_space, processes, files: OPEN_FILES, file_size }
}

/// Adds pieces to a root that nothing else uses yet. Follows no symbolic link in it.
pub fn add_pieces(root: &Path, pieces: &[Piece]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for piece in pieces {
        match piece {
            Piece::Folder(target) => {
                add_folder(root, target)?;
            }
            Piece::Copy { source, target } => {
                let path = add_file(root, target)?;
                std::fs::copy(source, &path)?;
                let mode = source.metadata()?.permissions().mode() & 0o555 | 0o444;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
            }
            Piece::Text { target, text } => std::fs::write(add_file(root, target)?, text)?,
        }
    }
    Ok(())
}

/// The path of a new file. Makes the folder above it.
fn add_file(root: &Path, target: &Path) -> std::io::Result<PathBuf> {
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(std::io::Error::other(format!(
            "{} is not the path of a file",
            target.display()
        )));
    };
    let path = add_folder(root, folder)?.join(name);
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => Err(other_type(target)),
        _ => Ok(path),
    }
}

fn add_folder(root: &Path, target: &Path) -> std::io::Result<PathBuf> {
    let mut path = root.to_owned();
    for part in target.components() {
        match part {
            std::path::Component::RootDir => continue,
            std::path::Component::Normal(name) => path.push(name),
            _ => {
                return Err(std::io::Error::other(format!(
                    "{} has a part such as `..`",
                    target.display()
                )));
            }
        }
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(other_type(target)),
            Err(_) => std::fs::create_dir(&path)?,
        }
    }
    Ok(path)
}

fn other_type(target: &Path) -> std::io::Error {
    std::io::Error::other(format!("{} or a folder above it has another type", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Bounds, Limits};
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    fn limits() -> Limits {
        let resources =
            Resources { memory: 100, processes: 7, processor_time: None, tmp: 4096, disk: None };
        Limits { resources, bounds: Bounds { deadline: Duration::from_secs(1), output: 1 } }
    }

    fn tool(purpose: Purpose, binds: Vec<Bind>) -> Spec {
        let program = Arc::new(tempfile::tempfile().unwrap());
        let rights = ToolRights { purpose, binds, overlay: None, background: false };
        let mut spec = Spec::function(program, limits());
        spec.setup.rights = Rights::Tool(rights);
        spec
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
    fn a_tool_gets_folders_as_mounts_and_files_as_copies() {
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
        let RootPlan::Tool(pieces) = &made.root else { panic!("a tool's root") };
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
