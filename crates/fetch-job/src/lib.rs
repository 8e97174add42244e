//! The job of a fetch island and its answer: one JSON value each way.
//!
//! The fetch worker runs inside the island, where untrusted bytes are parsed. So the server checks
//! every field of a [`FetchAnswer`] with the same constructors as a client's request.

mod address;
mod host;
mod reach;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use address::is_public;
pub use host::{Host, HostError};
pub use reach::{HostPattern, HostPatternError, Permit, Place, Reach};

/// Why there is no connection to a host: one sentence for every cause, for which ports are open,
/// which names there are and who they belong to does not concern a caller.
pub const NO_CONNECTION: &str = "no connection was possible, or none is permitted (sources.allow, sources.deny, sources.private_hosts)";

/// Where source may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The repository itself, over https or from a local mirror.
    Git,
    /// The Go module proxy, through the go command.
    Proxy,
}

/// A rule that sends every module path below `prefix` to a git mirror: `prefix/rest` is fetched
/// from `target/rest.git` (or `target/rest` where the target is a folder that has no such `.git`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// A path prefix on an element boundary: `github.com` or `github.com/acme`.
    pub prefix: String,
    /// `https://host/path`, `http://` on a loopback address, or an absolute folder.
    pub target: String,
}

/// One fetch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FetchJob {
    /// The Go import path of the called package: `golang.org/x/text/cases`.
    pub import_path: String,
    /// A tag, branch, commit of 7 to 40 hex digits or pseudo-version; without it the newest.
    pub version: Option<String>,
    /// Further import paths, of the same module, that the call needs.
    pub imports: Vec<String>,
    /// The sources to try, in order.
    pub origins: Vec<Origin>,
    /// The first rule whose prefix matches wins.
    pub mirrors: Vec<Mirror>,
    /// The hosts that the fetch may connect to.
    pub reach: Reach,
    /// The unix socket of the proxy that makes every connection of the worker; without one the
    /// worker connects by itself.
    pub gate: Option<PathBuf>,
    /// Revisions whose checkout the server has: when the version resolves to one of them, nothing
    /// is fetched.
    pub have: Vec<String>,
    /// An empty folder to write `src/`, `deps/` and `overlay/` into. Scratch files go to `$TMPDIR`.
    pub dest: PathBuf,
    /// The go command.
    pub go: PathBuf,
    /// The most bytes to receive and to unpack.
    pub max_bytes: u64,
}

/// The result of a [`FetchJob`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchAnswer {
    /// A checkout lies in the job's folder.
    Fetched(Fetched),
    /// The version means a revision that the server has.
    Unchanged {
        /// The revision.
        revision: String,
    },
    /// There is no checkout.
    Failed(FetchFailure),
}

/// A checkout, and how it is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// A commit (40 hex digits) from git, a module version from the proxy.
    pub revision: String,
    /// The source that the checkout came from.
    pub origin: Origin,
    /// The module's path in go.mod, or else the requested path.
    pub module_path: String,
    /// The folder of the module's go.mod below `src/`, with `/` between elements; empty for `src/`
    /// itself.
    pub module_dir: String,
    /// The import path of the package within its module.
    pub import_path: String,
    /// The name in the package clause.
    pub package_name: String,
    /// Whether files of the package were left out because they need cgo.
    pub cgo: bool,
    /// Whether the module's own vendor folder is complete and used; `deps/` is then empty.
    pub vendored: bool,
}

/// Why there is no checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFailure {
    /// The kind of failure.
    pub code: FailureCode,
    /// A sentence or two for the caller, naming what was asked for and each source that was tried.
    pub detail: String,
}

/// The kind of failure, as finely as the server's error codes need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// No source knows the repository or module.
    Repository,
    /// The module is there, the package is not.
    Package,
    /// The module is there, the version is not.
    Version,
    /// No source could be reached, or a source broke off.
    Unreachable,
    /// The source is larger than `max_bytes`.
    TooLarge,
    /// The package is a program (`package main`).
    MainPackage,
    /// Every file of the package needs cgo, or a dependency does.
    Cgo,
    /// go.mod requires a newer Go than the server has.
    NewerGo,
    /// go.mod cannot be read, a dependency cannot be found, or no file fits this platform.
    Module,
    /// The server failed: the disk, the go command, a defect.
    Internal,
}
