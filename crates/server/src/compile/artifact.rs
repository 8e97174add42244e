//! A compiled static binary, kept open so that running it needs no look at the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::{Entry, sum};

/// The name of the program in its folder.
pub(super) const PROGRAM: &str = "main";
const LENGTH: &str = "length";
const ABOUT: &str = "about.json";

/// What a program was made of, for operators.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) package: String,
    pub(super) revision: String,
    /// The function, or the whole call where that was compiled.
    pub(super) call: String,
}

/// A binary that runs one call.
pub struct Artifact {
    file: Arc<File>,
    /// What changes when the file is written.
    written: [i64; 6],
    id: String,
    /// Keeps the folder on disk while the artifact is in use.
    _entry: Arc<Entry>,
}

impl Artifact {
    /// Opens an artifact of a store. Refuses one that was cut short.
    pub(super) fn open(entry: Arc<Entry>) -> io::Result<Self> {
        let file = File::open(entry.path().join(PROGRAM))?;
        let length: u64 =
            std::fs::read_to_string(entry.path().join(LENGTH))?.trim().parse().unwrap_or(0);
        let metadata = file.metadata()?;
        if metadata.len() != length || length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the program is shorter than it was made",
            ));
        }
        let name = entry.path().file_name().unwrap_or_default();
        let id = name.to_string_lossy().into_owned();
        let written = sum::written(&metadata);
        Ok(Self { file: Arc::new(file), written, id, _entry: entry })
    }

    /// Whether the program was not written to since it was opened. Takes a microsecond.
    pub(super) fn is_untouched(&self) -> bool {
        self.file.metadata().is_ok_and(|now| sum::written(&now) == self.written)
    }

    /// The artifact's name, which no other artifact has, not even one of the same call.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The program, open for reading.
    pub fn program(&self) -> Arc<File> {
        self.file.clone()
    }
}

/// What a program was made of, if its folder says so.
pub(super) fn about(folder: &Path) -> Option<About> {
    serde_json::from_slice(&std::fs::read(folder.join(ABOUT)).ok()?).ok()
}

/// Moves the program that a build island left at `built` into `folder`, as a plain executable of
/// this server's user.
pub(super) fn adopt(built: &Path, folder: &Path, about: &About) -> io::Result<()> {
    let metadata = built.symlink_metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the build left no regular file as its program",
        ));
    }
    let target = folder.join(PROGRAM);
    std::fs::rename(built, &target)?;
    if nix::unistd::getuid().is_root() {
        std::os::unix::fs::chown(&target, Some(0), Some(0))?;
    }
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(folder.join(ABOUT), serde_json::to_vec(about)?)?;
    std::fs::write(folder.join(LENGTH), metadata.len().to_string())
}
