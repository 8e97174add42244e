//! Why a host cannot be prepared, in one sentence each, with what to do.

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

/// How many of the last lines of a talkative command are its last words.
const LAST_LINES: usize = 4;

/// A host that cannot be prepared, or not be freed of what was prepared.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// An ordinary user.
    #[error("only root can prepare a host; run it as root")]
    NotRoot,
    /// Another one is at work.
    #[error("another init or destroy is at work (it holds {0}); wait for it")]
    Locked(PathBuf),
    /// A server uses the host.
    #[error("a server uses this host; stop it first")]
    Served(#[source] StateError),
    /// Jails stand on what would be changed.
    #[error(
        "jails are alive below {folder}: {names}; stop the server, or remove them with `jail -r`"
    )]
    Jails {
        /// The folder of the jails.
        folder: PathBuf,
        /// The jails.
        names: String,
    },
    /// A list of jails that is none.
    #[error("nothing was removed, for jls does not say which jails are alive")]
    Listing,
    /// The dataset that ours go into.
    #[error("there is no dataset {0}; make it, or set filesystem.zfs_dataset to one that there is")]
    NoDataset(DatasetName),
    /// Not enough disk.
    #[error("{dataset} has {} free, and {} are needed; free some, or set filesystem.zfs_dataset to a larger pool", ByteSize(*free), ByteSize(*needed))]
    Space {
        /// Where.
        dataset: DatasetName,
        /// What is free, in bytes.
        free: u64,
        /// What is needed, in bytes.
        needed: u64,
    },
    /// The pool filled up on the way.
    #[error("the disk is full: {0} could not be extracted; free some space and run init again")]
    Full(PathBuf),
    /// A kernel module.
    #[error("the kernel module {0} is not loaded and cannot be loaded")]
    Module(&'static str, #[source] ExecError),
    /// Updates of a release that gets none.
    #[error("freebsd-update has nothing for {0}; set freebsd_update to false")]
    NoUpdates(Release),
    /// A dataset in the place of one of ours.
    #[error(
        "{0} was not made by init; rename it (`zfs rename`) or destroy it, or set filesystem.zfs_dataset to another dataset"
    )]
    Foreign(DatasetName),
    /// Something in the place of a mount point.
    #[error(
        "{0} exists and is no empty folder; nothing is mounted over it: move it away, or set jails.base_jail_dir to another folder"
    )]
    Occupied(PathBuf),
    /// A base system of other sets.
    #[error(
        "{base} was made of {found}, and base_packages says {wanted}; set it back, or run `sky-island destroy --yes` and init again"
    )]
    Sets {
        /// The base system.
        base: DatasetName,
        /// Its sets.
        found: String,
        /// The sets that are wanted.
        wanted: String,
    },
    /// Mounted elsewhere than the configuration says, or not at all.
    #[error(
        "{dataset} is not mounted at {folder}; mount it there (`zfs set mountpoint={folder} {dataset}`, `zfs mount {dataset}`)"
    )]
    Mount {
        /// The dataset.
        dataset: DatasetName,
        /// Where it should be.
        folder: PathBuf,
    },
    /// ZFS refused.
    #[error(transparent)]
    Zfs(Box<ZfsError>),
    /// A command of the host.
    #[error("{what}")]
    Command {
        /// What it was run for.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: ExecError,
    },
    /// freebsd-update, by its last words, for it says a lot before.
    #[error("freebsd-update failed; run init again to go on, or set freebsd_update to false: {0}")]
    Update(String),
    /// A file of the host.
    #[error("cannot {what} {path}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed; a full disk among it.
        #[source]
        source: std::io::Error,
    },
    /// A download.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// There is no MANIFEST.
    #[error(
        "{0} is not there; set release to one that the mirror has, release_mirror to another mirror, or put MANIFEST into base_sys_pkg_dir"
    )]
    NoManifest(String),
    /// A MANIFEST that cannot be used.
    #[error("{at} is no MANIFEST that can be used")]
    Manifest {
        /// Where it was.
        at: String,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// A set's archive that is not what was published.
    #[error("{path} has the SHA-256 sum {found}, but {expected} was published; {remedy}")]
    Sum {
        /// The archive.
        path: PathBuf,
        /// Its sum.
        found: Sha256,
        /// The sum that was published.
        expected: Sha256,
        /// What to do.
        remedy: &'static str,
    },
    /// A set that is nowhere.
    #[error("the archive of {0} has gone; run init again")]
    NoArchive(SetName),
    /// A sum that nobody knows.
    #[error("nobody says what SHA-256 sum the archive of Go {0} has; set go_sha256")]
    NoSum(GoVersion),
    /// Not the release of Go that was wanted.
    #[error("{archive} has {found}, and go_version says {wanted}")]
    Go {
        /// The archive.
        archive: PathBuf,
        /// What is in it.
        found: String,
        /// What was wanted.
        wanted: GoVersion,
    },
    /// Datasets, or files, of somebody else below ours.
    #[error(
        "nothing was removed, for these are not of this program: {0}; move or destroy them first"
    )]
    Others(String),
}

impl From<ZfsError> for InitError {
    fn from(error: ZfsError) -> Self {
        Self::Zfs(Box::new(error))
    }
}

impl InitError {
    /// For `map_err`: a file that could not be handled.
    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    /// For `map_err`: freebsd-update, which says what is wrong on stdout.
    pub(super) fn update(source: ExecError) -> Self {
        let ExecError::Failed { output, .. } = &source else {
            return Self::Command { what: "freebsd-update failed", source };
        };
        let said = [output.stdout.lines(), output.stderr.lines()].into_iter().flatten();
        let lines: Vec<_> = said.map(str::trim).filter(|line| !line.is_empty()).collect();
        Self::Update(lines[lines.len().saturating_sub(LAST_LINES)..].join("; "))
    }

    /// For `map_err`: a command that did not do what it was run for.
    pub(super) fn command(what: &'static str) -> impl FnOnce(ExecError) -> Self {
        move |source| Self::Command { what, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Output;

    #[test]
    fn freebsd_updates_last_words_are_its_complaint() {
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
