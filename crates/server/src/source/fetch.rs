//! One fetch: a worker on an island with network and one folder that it may write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fetch_job::{FailureCode, FetchAnswer, FetchFailure, FetchJob, Mirror, Origin};
use island::{
    Bind, Disk, Ending, FolderOwner, Islands, Label, Limits, Outcome, Program, Purpose, Rights,
    Setup, Spec, StartError, ToolRights,
};

use super::checkout::{self, BadCheckout, CACHE, Meta, TREE};
use super::gate::{Gate, GatePolicy, GateSocket};
use crate::blocking::blocking;
use crate::source::path::ImportPath;
use crate::source::request::PackageRequest;
use crate::source::version::Revision;
use crate::store::{Scratch, StoreError, Trash};

/// The path of this program on a fetch island.
const PROGRAM: &str = "/sky-island";
/// The folder that the worker writes into.
const DEST: &str = "/checkout";
/// The folder of local mirrors, which are named by their index in the list.
const MIRRORS: &str = "/mirrors";
/// The unix socket on a fetch island by which its worker reaches the network.
const GATE: &str = "/gate";
/// The folder with that socket, beside the checkout.
const GATE_FOLDER: &str = "gate";
/// The variables of the go command that name proxies. On an island with a gate they have no use,
/// and their credentials stay away from it.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];
/// The longest answer of a worker, in bytes.
const ANSWER_BYTES: u64 = 256 * 1024;
/// Processes and threads of a fetch: a worker, a go command and what it starts.
const PROCESSES: u64 = 256;
/// How much of a worker's stderr goes to the log, in characters.
const STDERR_CHARS: usize = 4000;
/// The folder for the worker's scratch files.
const TMP: &str = "tmp";

/// What a fetch needs from the configuration and the host.
pub struct Fetcher {
    /// The islands to work on.
    pub islands: Islands,
    /// Where scratch folders are made.
    pub trash: Arc<Trash>,
    /// The path of this program, which is the fetch worker too.
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
    /// Which hosts fetches connect to, and how.
    pub gate: Arc<GatePolicy>,
    /// What one fetch may use; `disk` and `output` are set for each.
    pub limits: Limits,
    /// Bytes that a fetch may receive and unpack.
    pub size: u64,
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The worker says why.
    #[error("{}", .0.detail)]
    Failed(FetchFailure),
    /// The fetch exceeded its time limit.
    #[error("the fetch exceeded its time limit of {0:?} (limits.fetch_timeout)")]
    Deadline(Duration),
    /// Too many fetches are waiting.
    #[error(
        "no fetch slot became free within {0:?} (limits.queue_wait, limits.fetches); try again later"
    )]
    Busy(Duration),
    /// The client's own fetches hold its whole share.
    #[error(
        "this client's fetches hold its whole share of {share} (limits.per_client.fetches), and none ended within {wait:?} (limits.queue_wait); try again when one has ended"
    )]
    OverShare {
        /// The most fetches of one client at once.
        share: usize,
        /// How long the fetch waited.
        wait: Duration,
    },
    /// An operator stopped the fetch.
    #[error("an operator stopped the fetch")]
    Stopped,
    /// No island could be started.
    #[error("the fetch island could not be started")]
    Start(#[from] StartError),
    /// The worker ended in an unexpected way.
    #[error("the fetch worker failed: {0}")]
    Broke(String),
    /// The worker wrote no usable checkout.
    #[error(transparent)]
    Bad(#[from] BadCheckout),
    /// The disk failed.
    #[error("the fetch's files cannot be read or written")]
    Disk(#[from] std::io::Error),
    /// The checkout cache failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a fetch.
pub(super) enum FetchResult {
    /// A folder that becomes the checkout of its revision.
    Checkout(Revision, Box<FetchedTree>),
    /// The version still means this revision.
    Unchanged(Revision),
}

/// A folder with the source that a worker wrote.
pub(super) struct FetchedTree {
    scratch: Scratch,
    meta: Meta,
    owner: Option<FolderOwner>,
}

impl FetchedTree {
    /// Makes the folder a checkout that can be published. Writes to the disk.
    pub(super) fn finish(self) -> std::io::Result<Scratch> {
        let Self { scratch, meta, owner } = self;
        [TMP, GATE_FOLDER].iter().for_each(|name| scratch.discard(name));
        scratch.folder(CACHE, None)?;
        scratch.folder(&format!("{CACHE}/upper"), owner)?;
        scratch.folder(&format!("{CACHE}/work"), owner)?;
        checkout::write_meta(scratch.path(), &meta)?;
        Ok(scratch)
    }
}

impl Fetcher {
    /// Fetches a package unless its version means one of the revisions in `have`.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        request: &PackageRequest,
        have: Vec<String>,
    ) -> Result<FetchResult, SourceError> {
        let (me, wanted) = (self.clone(), request.clone());
        let (scratch, spec, socket) = blocking(move || me.prepare(&wanted, have)).await?;
        let open = |socket| Gate::open(socket, self.gate.clone(), self.size);
        let gate = socket.map(open).transpose()?;
        let outcome = self.islands.run(&spec).await;
        if let Some(gate) = gate {
            gate.close().await;
        }
        match self.answer(&outcome?)? {
            FetchAnswer::Unchanged { revision } => Ok(FetchResult::Unchanged(checked(&revision)?)),
            FetchAnswer::Failed(failure) => Err(SourceError::Failed(failure)),
            FetchAnswer::Fetched(fetched) => {
                let revision = checked(&fetched.revision)?;
                let imports = request.imports.iter().map(ImportPath::to_string).collect();
                let meta = Meta { asked: request.path.to_string(), imports, fetched };
                let owner = self.islands.backend().owner(Purpose::Build);
                let tree = Box::new(FetchedTree { scratch, meta, owner });
                Ok(FetchResult::Checkout(revision, tree))
            }
        }
    }

    /// Makes the folders of a fetch, and says how its island is started. Writes to the disk.
    fn prepare(
        &self,
        request: &PackageRequest,
        have: Vec<String>,
    ) -> std::io::Result<(Scratch, Spec, Option<GateSocket>)> {
        let scratch = self.trash.scratch()?;
        let owner = self.islands.backend().owner(Purpose::Fetch);
        let (tree, tmp) = (scratch.folder(TREE, owner)?, scratch.folder(TMP, owner)?);
        let socket = match self.islands.backend().capabilities().gates {
            true => Some(GateSocket::bind(&scratch.folder(GATE_FOLDER, None)?, owner)?),
            false => None,
        };
        let gate = socket.as_ref().map(GateSocket::path);
        let input = serde_json::to_vec(&self.job(request, have, gate.map(|_| GATE.into())))?;
        let spec = self.spec(request, &scratch, [tree, tmp], gate, input);
        Ok((scratch, spec, socket))
    }

    fn job(&self, request: &PackageRequest, have: Vec<String>, gate: Option<PathBuf>) -> FetchJob {
        let seen = |(index, mirror): (usize, &Mirror)| match mirror.target.starts_with('/') {
            true => Mirror { prefix: mirror.prefix.clone(), target: format!("{MIRRORS}/{index}") },
            false => mirror.clone(),
        };
        FetchJob {
            import_path: request.path.to_string(),
            version: request.version.as_ref().map(|version| version.to_string()),
            imports: request.imports.iter().map(ImportPath::to_string).collect(),
            origins: self.origins.clone(),
            mirrors: self.mirrors.iter().enumerate().map(seen).collect(),
            reach: self.gate.reach().clone(),
            gate,
            have,
            dest: DEST.into(),
            go: self.goroot.join("bin/go"),
            max_bytes: self.size,
        }
    }

    fn spec(
        &self,
        request: &PackageRequest,
        scratch: &Scratch,
        [tree, tmp]: [PathBuf; 2],
        gate: Option<&Path>,
        stdin: Vec<u8>,
    ) -> Spec {
        let read = |source: PathBuf, target: PathBuf| Bind { source, target, writable: false };
        let mut binds = vec![
            Bind { source: tree, target: DEST.into(), writable: true },
            Bind { source: tmp, target: "/tmp".into(), writable: true },
            read(self.program.clone(), PROGRAM.into()),
            read(self.goroot.clone(), self.goroot.clone()),
        ];
        binds.extend(gate.map(|socket| read(socket.to_owned(), GATE.into())));
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
        // The go command runs for a short time: without garbage collection it takes a seventh less.
        let memory = format!("GOMEMLIMIT={}", self.limits.resources.memory / 2);
        let mut env = vec![path, goroot, "GOGC=400".to_owned(), memory];
        env.extend(["HOME=/tmp", "TMPDIR=/tmp", "XDG_CONFIG_HOME=/config"].map(str::to_owned));
        let names_proxy = |variable: &&String| {
            let name = variable.split('=').next().unwrap_or_default();
            PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
        };
        env.extend(self.env.iter().filter(|it| gate.is_none() || !names_proxy(it)).cloned());
        let Limits { mut resources, mut bounds } = self.limits.clone();
        resources.processes = PROCESSES;
        bounds.output = ANSWER_BYTES;
        let folders = vec![scratch.path().to_owned()];
        resources.disk = Some(Disk { folders, bytes: disk(self.size) });
        let rights = Rights::Tool(ToolRights {
            purpose: Purpose::Fetch,
            binds,
            overlay: None,
            background: false,
        });
        Spec {
            setup: Setup { rights, resources, address: None },
            bounds,
            program: Program::Path(PROGRAM.into()),
            args: vec!["sky-island".into(), "fetch-worker".into()],
            env,
            folder: "/tmp".into(),
            stdin,
            arguments: None,
            label: Label { module: Some(request.path.as_str().into()), call: None },
        }
    }

    fn answer(&self, outcome: &Outcome) -> Result<FetchAnswer, SourceError> {
        let too_large =
            |detail| Err(SourceError::Failed(FetchFailure { code: FailureCode::TooLarge, detail }));
        match outcome.ending {
            Ending::Exited(0) => serde_json::from_slice(&outcome.stdout)
                .map_err(|error| SourceError::Broke(format!("no answer can be read: {error}"))),
            Ending::Deadline => Err(SourceError::Deadline(self.limits.bounds.deadline)),
            Ending::Stopped => Err(SourceError::Stopped),
            Ending::Disk => too_large(format!(
                "the source needs more than {} bytes on disk (twice limits.fetch_size)",
                disk(self.size)
            )),
            Ending::Memory => too_large(format!(
                "the source needs more than {} bytes of memory (limits.fetch_memory)",
                self.limits.resources.memory
            )),
            other => {
                let text = String::from_utf8_lossy(&outcome.stderr);
                let text: String = text.chars().take(STDERR_CHARS).collect();
                Err(SourceError::Broke(format!("{other:?}: {text}")))
            }
        }
    }
}

/// Bytes that a fetch may have on disk: what it receives, and what it unpacks.
fn disk(size: u64) -> u64 {
    size.saturating_mul(2)
}

fn checked(revision: &str) -> Result<Revision, SourceError> {
    Revision::parse(revision)
        .ok_or_else(|| SourceError::Broke(format!("{revision:?} is no revision")))
}
