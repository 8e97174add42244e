//! Why a host cannot be prepared or cleaned, each with what to do.

use std::path::PathBuf;

use bytesize::ByteSize;
use host::exec::ExecError;
use host::layout::Release;
use host::zfs::{DatasetName, ZfsError};

use super::checksum::Sha256;
use super::download::DownloadError;
use super::manifest::ManifestError;
use super::names::{GoVersion, SetName};
use crate::state::StateError;

/// How many of its last lines are shown of a command that prints many.
const LAST_LINES: usize = 4;

/// Why `init` or `destroy` failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The user is not root.
    #[error("only root can prepare a host; run the command as root")]
    NotRoot,
    /// Another process has the lock.
    #[error("another init or destroy is at work and has locked {0}; wait until that one ends")]
    Locked(PathBuf),
    /// A server runs.
    #[error("a server uses this host; stop it first")]
    Served(#[source] StateError),
    /// Jails run in the datasets that would be removed.
    #[error(
        "jails run below {folder}: {names}; stop the server, or remove the jails with `jail -r`"
    )]
    Jails {
        /// The folder of the jails.
        folder: PathBuf,
        /// The jails.
        names: String,
    },
    /// The output of jls(8) cannot be read.
    #[error("nothing was removed: the output of `jls --libxo=json -n` is no list of jails")]
    Listing,
    /// The parent dataset is missing.
    #[error(
        "there is no dataset {0}; create that dataset, or set filesystem.zfs_dataset to an existing one"
    )]
    NoDataset(DatasetName),
    /// Not enough disk.
    #[error("{dataset} has {} free, but {} are needed; free some space, or set filesystem.zfs_dataset to a larger pool", ByteSize(*free), ByteSize(*needed))]
    Space {
        /// The parent dataset.
        dataset: DatasetName,
        /// The free space, in bytes.
        free: u64,
        /// The space that is needed, in bytes.
        needed: u64,
    },
    /// The pool became full while an archive was extracted.
    #[error("the disk is full: {0} could not be extracted; free some space and run init again")]
    Full(PathBuf),
    /// A kernel module is missing.
    #[error(
        "the kernel module {0} is not loaded and cannot be loaded; build or install the module"
    )]
    Module(&'static str, #[source] ExecError),
    /// The release gets no updates.
    #[error("freebsd-update has nothing for {0}; set freebsd_update to false")]
    NoUpdates(Release),
    /// Another dataset has the name of one that `init` makes.
    #[error(
        "{0} was not made by init; rename that dataset (`zfs rename`) or destroy it, or set filesystem.zfs_dataset to another dataset"
    )]
    Foreign(DatasetName),
    /// The mount point is in use.
    #[error(
        "{0} exists and is not an empty folder, so no dataset is mounted there; move it away, or set jails.base_jail_dir to another folder"
    )]
    Occupied(PathBuf),
    /// The base system has other sets.
    #[error(
        "{base} was made of {found}, but base_packages says {wanted}; set base_packages back, or run `sky-island destroy --yes` and init again"
    )]
    Sets {
        /// The base system.
        base: DatasetName,
        /// The sets that the base system has.
        found: String,
        /// The configured sets.
        wanted: String,
    },
    /// The dataset is mounted elsewhere, or not at all.
    #[error(
        "{dataset} is not mounted at {folder}; mount it there (`zfs set mountpoint={folder} {dataset}`, `zfs mount {dataset}`)"
    )]
    Mount {
        /// The dataset.
        dataset: DatasetName,
        /// The folder that the dataset belongs at.
        folder: PathBuf,
    },
    /// A command of ZFS failed.
    #[error(transparent)]
    Zfs(Box<ZfsError>),
    /// Another command of the host failed.
    #[error("{what}")]
    Command {
        /// What cannot be done.
        what: &'static str,
        /// Why the command failed.
        #[source]
        source: ExecError,
    },
    /// freebsd-update(8) failed; its last lines.
    #[error("freebsd-update failed; run init again to go on, or set freebsd_update to false: {0}")]
    Update(String),
    /// A file cannot be handled.
    #[error("cannot {what} {path}")]
    File {
        /// What was to be done with the file.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why that failed, such as a full disk.
        #[source]
        source: std::io::Error,
    },
    /// A download failed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The mirror has no MANIFEST of the release.
    #[error(
        "the mirror has no {0}; set release to one that the mirror has, release_mirror to another mirror, or put a MANIFEST into base_sys_pkg_dir"
    )]
    NoManifest(String),
    /// The MANIFEST cannot be used.
    #[error("the MANIFEST {at} cannot be used; check release, base_packages and release_mirror")]
    Manifest {
        /// Its URL or path.
        at: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// An archive on this host is not the published one.
    #[error("{path} has the SHA-256 sum {found}, but {expected} was published; {remedy}")]
    Sum {
        /// The archive.
        path: PathBuf,
        /// The sum of the archive.
        found: Sha256,
        /// The sum that was published.
        expected: Sha256,
        /// What to do.
        remedy: &'static str,
    },
    /// The archive of a set disappeared.
    #[error("the archive of {0} has disappeared; run init again")]
    NoArchive(SetName),
    /// The sum of Go's archive is not known.
    #[error("no SHA-256 sum of the archive of Go {0} is published; set go_sha256")]
    NoSum(GoVersion),
    /// The archive has another Go.
    #[error("{archive} has {found}, but go_version says {wanted}; change one of them")]
    Go {
        /// The archive.
        archive: PathBuf,
        /// What the archive has.
        found: String,
        /// The configured version.
        wanted: GoVersion,
    },
    /// There are datasets or files that neither `init` nor the server made.
    #[error(
        "nothing was removed, for Sky Island did not make these: {0}; move or destroy them first"
    )]
    Others(String),
}

impl From<ZfsError> for InitError {
    fn from(error: ZfsError) -> Self {
        Self::Zfs(Box::new(error))
    }
}

impl InitError {
    /// For `map_err`: the error of a file.
    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    /// For `map_err`: the error of freebsd-update, which prints its errors on stdout.
    pub(super) fn update(source: ExecError) -> Self {
        let ExecError::Failed { output, .. } = &source else {
            return Self::Command { what: "freebsd-update failed", source };
        };
        let said = [output.stdout.lines(), output.stderr.lines()].into_iter().flatten();
        let lines: Vec<_> = said.map(str::trim).filter(|line| !line.is_empty()).collect();
        Self::Update(lines[lines.len().saturating_sub(LAST_LINES)..].join("; "))
    }

    /// For `map_err`: the error of a command.
    pub(super) fn command(what: &'static str) -> impl FnOnce(ExecError) -> Self {
        move |source| Self::Command { what, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Output;

    #[test]
    fn the_last_lines_of_freebsd_update_are_shown() {
        let stdout = "Looking up update.FreeBSD.org mirrors... none found.\n\nFetching public key... failed.\n\
            No mirrors remaining, giving up.\n\nThis may be because upgrading from this platform (amd64)\n\
            or release (15.1-RELEASE) is unsupported by freebsd-update.\n";
        let output = Output { code: Some(1), stdout: stdout.into(), stderr: String::new() };
        let failed = ExecError::Failed { command: "freebsd-update".into(), output };
        let said = InitError::update(failed).to_string();
        assert!(said.contains("Fetching public key... failed.; No mirrors remaining"), "{said}");
        assert!(said.ends_with("unsupported by freebsd-update."), "{said}");
        assert!(!said.contains("Looking up"), "{said}");
    }
}
