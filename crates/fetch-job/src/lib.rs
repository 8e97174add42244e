//! What the server asks of a fetch island, and what comes back: one JSON value each way.
//!
//! The worker that answers runs inside the island, where a stranger's bytes are parsed. So the server trusts no
//! field of an [`FetchAnswer`] until it has been through the same constructors as a client's request.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where source may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The repository itself, over https or from a local mirror.
    Git,
    /// The Go module proxy, through the go command.
    Proxy,
}

/// A rule that sends every module path below `prefix` to a git mirror: `prefix/rest` is fetched from `target/rest.git`
/// (or `target/rest` where the target is a folder that has no such `.git`).
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
    /// The Go import path of the package to call: `golang.org/x/text/cases`.
    pub import_path: String,
    /// A tag, branch, commit of 7 to 40 hex digits or pseudo-version; without it the newest.
    pub version: Option<String>,
    /// Further import paths, of the same module, that the call needs.
    pub imports: Vec<String>,
    /// The sources to try, in order.
    pub origins: Vec<Origin>,
    /// The first rule whose prefix matches wins.
    pub mirrors: Vec<Mirror>,
    /// Revisions whose checkout the server still has: when the version resolves to one of them nothing is fetched.
    pub have: Vec<String>,
    /// An empty folder to write `src/`, `deps/` and `overlay/` into. Scratch files go to `$TMPDIR`.
    pub dest: PathBuf,
    /// The go command.
    pub go: PathBuf,
    /// The most bytes to receive and to unpack.
    pub max_bytes: u64,
}

/// What became of a [`FetchJob`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchAnswer {
    /// A checkout lies in the job's folder.
    Fetched(Fetched),
    /// The version still means this revision, which the server has.
    Unchanged {
        /// That revision.
        revision: String,
    },
    /// Nothing that can be used was written.
    Failed(FetchFailure),
}

/// How a checkout is to be compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// A commit (40 hex digits) from git, a module version from the proxy.
    pub revision: String,
    /// Which source it came from.
    pub origin: Origin,
    /// The path that the module gives itself in go.mod, or the one it was asked for by.
    pub module_path: String,
    /// The folder of the module's go.mod below `src/`, with `/` between elements; empty for `src/` itself.
    pub module_dir: String,
    /// The import path of the package as its module knows it.
    pub import_path: String,
    /// The name in the package clause.
    pub package_name: String,
    /// Files of the package are left out because they need cgo.
    pub cgo: bool,
    /// The module's own vendor folder is complete and is used; `deps/` is then empty.
    pub vendored: bool,
}

/// Why there is no checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFailure {
    /// What kind of failure it is.
    pub code: FailureCode,
    /// A sentence or two for the caller, naming what was asked for and each source that was tried.
    pub detail: String,
}

/// Whose fault it is, finely enough to choose an answer by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// No source knows the repository or module.
    Repository,
    /// The module is there, the package is not.
    Package,
    /// The module is there, the version is not.
    Version,
    /// No source could be reached, or one broke off.
    Unreachable,
    /// It is larger than `max_bytes`.
    TooLarge,
    /// The package is a program (`package main`).
    MainPackage,
    /// Every file of the package needs cgo, or a dependency does.
    Cgo,
    /// go.mod asks for a newer Go than this one.
    NewerGo,
    /// go.mod cannot be read, a dependency cannot be found, or no file fits this platform.
    Module,
    /// Ours: the disk, the go command, a defect.
    Internal,
}
