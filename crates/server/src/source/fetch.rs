//! One fetch: a worker on an island with network and one folder that it may write.

use std::path::PathBuf;
use std::sync::Arc;

use fetch_job::{FailureCode, FetchAnswer, FetchFailure, FetchJob, Fetched, Mirror, Origin};
use island::{
    Bind, Disk, Ending, Islands, Label, Limits, Outcome, Program, Purpose, Rights, Spec,
    StartError, ToolRights,
};

use super::checkout::{self, BadCheckout, CACHE, Meta, TREE};
use crate::source::PackageRequest;
use crate::source::path::ImportPath;
use crate::source::version::Revision;
use crate::store::{Scratch, Trash};

/// Where the worker finds our own program on its island.
const PROGRAM: &str = "/sky-island";
/// Where the worker writes.
const DEST: &str = "/checkout";
/// Where local mirrors lie, by their place in the list.
const MIRRORS: &str = "/mirrors";
/// The longest answer of a worker, in bytes.
const ANSWER_BYTES: u64 = 256 * 1024;
/// Processes and threads of a fetch: a worker, a go command and what it starts.
const PROCESSES: u64 = 256;
/// How much of a worker's complaint goes to the log.
const COMPLAINT_BYTES: usize = 4000;

/// What a fetch needs to know of the configuration and the host.
pub struct Fetcher {
    /// The islands to work on.
    pub islands: Islands,
    /// Where scratch folders are made.
    pub trash: Arc<Trash>,
    /// Our own program.
    pub program: PathBuf,
    /// The root of the Go toolchain.
    pub goroot: PathBuf,
    /// The environment of the go command, as `NAME=value`.
    pub env: Vec<String>,
    /// Files beyond the usual ones that certificates are read from.
    pub certificates: Vec<PathBuf>,
    /// The sources to try, in order.
    pub origins: Vec<Origin>,
    /// Prefixes that are fetched from elsewhere.
    pub mirrors: Vec<Mirror>,
    /// What one fetch may use; `disk` and `output` are set for each.
    pub limits: Limits,
    /// Bytes that a fetch may receive and unpack.
    pub size: u64,
}

/// No checkout.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The worker says why.
    #[error("{}", .0.detail)]
    Failed(FetchFailure),
    /// The deadline passed.
    #[error("the source did not arrive within {0:?}")]
    Deadline(std::time::Duration),
    /// Too many fetches are waiting.
    #[error("too many fetches are waiting")]
    Busy,
    /// An operator has stopped it.
    #[error("an operator has stopped the fetch")]
    Stopped,
    /// No island.
    #[error("the fetch could not start")]
    Start(#[from] StartError),
    /// The worker broke.
    #[error("the fetch broke: {0}")]
    Broke(String),
    /// What the worker wrote is no checkout.
    #[error(transparent)]
    Bad(#[from] BadCheckout),
    /// The disk.
    #[error("the disk: {0}")]
    Disk(#[source] std::io::Error),
    /// The cache.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// What a fetch brought.
pub(super) enum FetchedTree {
    /// A folder to be published under the key of its revision.
    Checkout(Revision, Scratch),
    /// The version still means this revision.
    Unchanged(Revision),
}

impl Fetcher {
    /// Fetches what is wanted unless its version means one of the revisions in `have`.
    pub(super) async fn fetch(
        &self,
        want: &PackageRequest,
        have: Vec<String>,
    ) -> Result<FetchedTree, SourceError> {
        let scratch = self.trash.scratch().map_err(SourceError::Disk)?;
        let owner = self.islands.backend().owner(Purpose::Fetch);
        let tree = scratch.folder(TREE, owner).map_err(SourceError::Disk)?;
        let tmp = scratch.folder("tmp", owner).map_err(SourceError::Disk)?;
        let job = self.job(want, have);
        let input = serde_json::to_vec(&job).map_err(|e| SourceError::Broke(e.to_string()))?;
        let spec = self.spec(want, &scratch, [tree, tmp], input);
        let outcome = self.islands.run(&spec).await?;
        match self.answer(outcome)? {
            FetchAnswer::Unchanged { revision } => Ok(FetchedTree::Unchanged(checked(&revision)?)),
            FetchAnswer::Failed(failure) => Err(SourceError::Failed(failure)),
            FetchAnswer::Fetched(fetched) => {
                let revision = checked(&fetched.revision)?;
                scratch.discard("tmp");
                self.finish(&scratch, want, fetched).map_err(SourceError::Disk)?;
                Ok(FetchedTree::Checkout(revision, scratch))
            }
        }
    }

    fn finish(
        &self,
        scratch: &Scratch,
        want: &PackageRequest,
        fetched: Fetched,
    ) -> std::io::Result<()> {
        let owner = self.islands.backend().owner(Purpose::Build);
        scratch.folder(CACHE, None)?;
        scratch.folder(&format!("{CACHE}/upper"), owner)?;
        scratch.folder(&format!("{CACHE}/work"), owner)?;
        let imports = want.imports.iter().map(ImportPath::to_string).collect();
        let meta = Meta { asked: want.path.to_string(), imports, fetched };
        checkout::write_meta(scratch.path(), &meta)
    }

    fn job(&self, want: &PackageRequest, have: Vec<String>) -> FetchJob {
        let place = |(index, mirror): (usize, &Mirror)| match mirror.target.starts_with('/') {
            true => Mirror { prefix: mirror.prefix.clone(), target: format!("{MIRRORS}/{index}") },
            false => mirror.clone(),
        };
        FetchJob {
            import_path: want.path.to_string(),
            version: want.version.as_ref().map(|version| version.to_string()),
            imports: want.imports.iter().map(ImportPath::to_string).collect(),
            origins: self.origins.clone(),
            mirrors: self.mirrors.iter().enumerate().map(place).collect(),
            have,
            dest: DEST.into(),
            go: self.goroot.join("bin/go"),
            max_bytes: self.size,
        }
    }

    fn spec(
        &self,
        want: &PackageRequest,
        scratch: &Scratch,
        [tree, tmp]: [PathBuf; 2],
        stdin: Vec<u8>,
    ) -> Spec {
        let read = |source: PathBuf, target: PathBuf| Bind { source, target, writable: false };
        let mut binds = vec![
            Bind { source: tree, target: DEST.into(), writable: true },
            Bind { source: tmp, target: "/tmp".into(), writable: true },
            read(self.program.clone(), PROGRAM.into()),
            read(self.goroot.clone(), self.goroot.clone()),
        ];
        for file in &self.certificates {
            binds.push(read(file.clone(), file.clone()));
        }
        for (index, mirror) in self.mirrors.iter().enumerate() {
            let source = PathBuf::from(&mirror.target);
            if source.is_absolute() && source.exists() {
                binds.push(read(source, format!("{MIRRORS}/{index}").into()));
            }
        }
        let path = format!("PATH={}/bin:/usr/local/bin:/usr/bin:/bin", self.goroot.display());
        let goroot = format!("GOROOT={}", self.goroot.display());
        // The go command ends soon: a seventh of its time goes into memory that it could as well leave.
        let memory = format!("GOMEMLIMIT={}", self.limits.memory / 2);
        let mut env = vec![path, goroot, "GOGC=400".to_owned(), memory];
        env.extend(["HOME=/tmp", "TMPDIR=/tmp", "XDG_CONFIG_HOME=/config"].map(str::to_owned));
        env.extend(self.env.iter().cloned());
        let mut limits = self.limits.clone();
        limits.processes = PROCESSES;
        limits.output = ANSWER_BYTES;
        let folders = vec![scratch.path().to_owned()];
        limits.disk = Some(Disk { folders, bytes: self.size.saturating_mul(2) });
        Spec {
            rights: Rights::Tool(ToolRights {
                purpose: Purpose::Fetch,
                binds,
                overlay: None,
                background: false,
            }),
            program: Program::Path(PROGRAM.into()),
            args: vec!["sky-island".into(), "fetch-worker".into()],
            env,
            folder: "/tmp".into(),
            stdin,
            arguments: None,
            limits,
            address: None,
            label: Label { module: Some(want.path.as_str().into()), call: None },
        }
    }

    fn answer(&self, outcome: Outcome) -> Result<FetchAnswer, SourceError> {
        let complaint = || {
            let text = String::from_utf8_lossy(&outcome.stderr);
            text.chars().take(COMPLAINT_BYTES).collect::<String>()
        };
        match outcome.ending {
            Ending::Exited(0) => serde_json::from_slice(&outcome.stdout)
                .map_err(|e| SourceError::Broke(format!("its answer cannot be read: {e}"))),
            Ending::Deadline => Err(SourceError::Deadline(self.limits.deadline)),
            Ending::Stopped => Err(SourceError::Stopped),
            Ending::Disk => Err(SourceError::Failed(FetchFailure {
                code: FailureCode::TooLarge,
                detail: format!("the source needs more than {} bytes on disk", self.size),
            })),
            Ending::Memory => Err(SourceError::Failed(FetchFailure {
                code: FailureCode::TooLarge,
                detail: format!(
                    "the source needs more than {} bytes of memory",
                    self.limits.memory
                ),
            })),
            other => Err(SourceError::Broke(format!("{other:?}: {}", complaint()))),
        }
    }
}

fn checked(revision: &str) -> Result<Revision, SourceError> {
    Revision::parse(revision)
        .ok_or_else(|| SourceError::Broke(format!("its revision is {revision:?}")))
}
