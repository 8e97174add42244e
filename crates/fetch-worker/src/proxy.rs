//! A checkout from the module proxy: find the module and its version, download it, move it out of the cache.
//!
//! The go command decides what a version means and whether a download is what the checksum database says. A
//! version that the server has costs no download of files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fetch_job::{FailureCode, FetchJob};
use serde::Deserialize;

use super::budget::{Budget, OverBudget, tree_size};
use super::gocmd::{GoCommand, GoError};
use super::lookup::{self, Miss, Module};
use super::module::{self, LayoutError};
use super::refs::{is_abbreviation, pseudo_commit};
use super::scratch::{Scratch, make_writable, remove_tree};
use super::text::bounded;
use super::verdict::{Verdict, verdict};

/// Why the proxy gave no checkout.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("no module proxy configured")]
    NoProxy,
    #[error("the module proxy knows no module for {0}")]
    Unknown(String),
    #[error("the module proxy has no {version} of {module}{hint}")]
    Version { module: String, version: String, hint: &'static str },
    #[error("the module proxy cannot be asked: {0}")]
    Unreachable(String),
    #[error("{module} requires Go {needs} or newer, this is Go {running}")]
    NewerGo { module: String, needs: String, running: String },
    #[error("{module} cannot be downloaded: {text}")]
    Download { module: String, text: String },
    #[error("{module} does not contain the package: {source}")]
    Package { module: String, source: LayoutError },
    #[error("the go command's answer cannot be read: {0}")]
    FetchAnswer(#[source] serde_json::Error),
    #[error("the module cannot be moved into place: {0}")]
    Files(#[from] io::Error),
    #[error(transparent)]
    Budget(#[from] OverBudget),
    #[error(transparent)]
    GoCommand(#[from] GoError),
}

impl ProxyError {
    pub(super) fn code(&self) -> FailureCode {
        match self {
            Self::NoProxy | Self::Unreachable(_) => FailureCode::Unreachable,
            Self::Unknown(_) => FailureCode::Repository,
            Self::Version { .. } => FailureCode::Version,
            Self::NewerGo { .. } => FailureCode::NewerGo,
            Self::Package { source: LayoutError::GoMod(..), .. } | Self::Download { .. } => {
                FailureCode::Module
            }
            Self::Package { .. } => FailureCode::Package,
            Self::Budget(_) | Self::GoCommand(GoError::Budget(_)) => FailureCode::TooLarge,
            Self::FetchAnswer(_) | Self::Files(_) | Self::GoCommand(_) => FailureCode::Internal,
        }
    }
}

/// What the proxy gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The module's files were written.
    Checkout { root: String, revision: String },
    /// The server has this version.
    Unchanged { revision: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Downloaded {
    error: String,
    info: String,
    dir: String,
}

/// Fetches what `job` asks for and moves its files to `src`.
pub(super) fn fetch(
    job: &FetchJob,
    go: &GoCommand<'_>,
    budget: &Budget,
    scratch: &Scratch,
    src: &Path,
) -> Result<Outcome, ProxyError> {
    if !go.has_proxy {
        return Err(ProxyError::NoProxy);
    }
    let answers = lookup::query(go, scratch, &job.import_path, job.version.as_deref())?;
    let modules: Vec<&Module> = answers.iter().filter_map(|a| a.as_ref().ok()).collect();
    if modules.is_empty() {
        return Err(unresolved(job, go, scratch, &answers)?);
    }
    let mut lacking = None;
    for module in modules {
        if job.have.contains(&module.version) {
            return Ok(Outcome::Unchanged { revision: module.version.clone() });
        }
        download(go, scratch, module, src)?;
        match module::locate(src, &module.path, &job.import_path) {
            Ok(_) => {
                budget.charge(tree_size(src))?;
                let Module { path: root, version: revision } = module.clone();
                return Ok(Outcome::Checkout { root, revision });
            }
            Err(source) => {
                remove_tree(src)?;
                let module = format!("{} {}", module.path, module.version);
                lacking.get_or_insert(ProxyError::Package { module, source });
            }
        }
    }
    Err(lacking.unwrap_or_else(|| ProxyError::Unknown(job.import_path.clone())))
}

/// Why no candidate is a module at that version.
fn unresolved(
    job: &FetchJob,
    go: &GoCommand<'_>,
    scratch: &Scratch,
    answers: &[Result<Module, Miss>],
) -> Result<ProxyError, ProxyError> {
    if let Some(error) = fault(&job.import_path, answers) {
        return Ok(error);
    }
    let Some(version) = &job.version else {
        return Ok(ProxyError::Unknown(job.import_path.clone()));
    };
    // Is it the version that is not there, or the module?
    let latest = lookup::query(go, scratch, &job.import_path, None)?;
    if let Some(module) = latest.iter().find_map(|a| a.as_ref().ok()) {
        let bare = is_abbreviation(version) || pseudo_commit(version).is_none();
        let hint = if bare && !version.starts_with('v') {
            " (not every proxy resolves commits and branches; give a tag or a pseudo-version)"
        } else {
            ""
        };
        let (module, version) = (module.path.clone(), bounded(version));
        return Ok(ProxyError::Version { module, version, hint });
    }
    Ok(fault(&job.import_path, &latest)
        .unwrap_or_else(|| ProxyError::Unknown(job.import_path.clone())))
}

/// A reason that is more than that the proxy does not know a path.
fn fault(import_path: &str, answers: &[Result<Module, Miss>]) -> Option<ProxyError> {
    let misses = || answers.iter().filter_map(|a| a.as_ref().err());
    for miss in misses() {
        if let Verdict::NewerGo { needs, running } = miss.verdict.clone() {
            return Some(ProxyError::NewerGo { module: import_path.to_owned(), needs, running });
        }
    }
    let unreachable = misses().find(|m| m.verdict == Verdict::Unreachable);
    // What is not understood must not pass for a definite no.
    let odd = || misses().find(|m| m.verdict == Verdict::Other);
    unreachable.or_else(odd).map(|m| ProxyError::Unreachable(bounded(&m.text)))
}

/// Downloads one module and moves it out of the cache, where no overlay could add a file to it.
fn download(
    go: &GoCommand<'_>,
    scratch: &Scratch,
    module: &Module,
    src: &Path,
) -> Result<(), ProxyError> {
    let query = format!("{}@{}", module.path, module.version);
    let folder = scratch.folder("lookup")?;
    let output = go.run(&folder, &["mod", "download", "-json", "--", &query])?;
    let failed = |text: &str| {
        let text = bounded(&go.scrub(text));
        match verdict(&text) {
            Verdict::Unreachable => ProxyError::Unreachable(text),
            Verdict::NewerGo { needs, running } => {
                ProxyError::NewerGo { module: query.clone(), needs, running }
            }
            _ => ProxyError::Download { module: query.clone(), text },
        }
    };
    let found: Downloaded = match serde_json::from_slice(&output.stdout) {
        Ok(found) => found,
        Err(_) if !output.success => return Err(failed(&output.stderr)),
        Err(e) => return Err(ProxyError::FetchAnswer(e)),
    };
    if !found.error.is_empty() {
        return Err(failed(&found.error));
    }
    if found.dir.is_empty() {
        return Err(failed(&output.stderr));
    }
    let dir = PathBuf::from(found.dir);
    make_writable(&dir)?;
    fs::rename(&dir, src)?;
    for extension in ["info", "mod", "zip", "ziphash", "lock"] {
        let file = Path::new(&found.info).with_extension("");
        // A version has dots of its own, so only the last extension is replaced.
        let file = PathBuf::from(format!("{}.{extension}", file.display()));
        match fs::remove_file(&file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}
