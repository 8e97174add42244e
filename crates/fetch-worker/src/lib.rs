//! The fetch worker: turns a [`FetchJob`] into a checkout on disk. It runs inside a fetch island, as an unprivileged
//! user with a network, because it parses what strangers wrote: packs, pages, go.mod files.
//!
//! What must always hold:
//! - it writes to the job's folder and to `$TMPDIR` only, and starts no program but the go command;
//! - it executes nothing that it fetched, and compiles nothing;
//! - after [`FetchAnswer::Fetched`] the folder holds `src/`, `deps/` and `overlay/`, with which the package builds
//!   offline; after another answer none of the three is there;
//! - no message names a credential or a folder of this host.

mod advert;
mod budget;
mod complete;
mod discover;
mod git;
mod gocmd;
mod http;
mod local;
mod locate;
mod lookup;
mod modfiles;
mod module;
mod pkt;
mod plain;
mod proxy;
mod refs;
mod scratch;
mod smart;
mod text;
mod tree;
mod vanity;
mod verdict;

use std::fs;
use std::io;

use fetch_job::{FailureCode, FetchAnswer, FetchFailure, FetchJob, Fetched, Origin};

use budget::{Budget, OverBudget, tree_size};
use complete::CompleteError;
use git::GitError;
use gocmd::Tools;
use http::Http;
use proxy::ProxyError;
use scratch::{Scratch, remove_tree};

/// Why one source gave nothing that can be built.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Complete(#[from] CompleteError),
    #[error(transparent)]
    Budget(#[from] OverBudget),
    #[error("the job's folder cannot be used: {0}")]
    Folder(#[source] io::Error),
}

impl SourceError {
    fn code(&self) -> FailureCode {
        match self {
            Self::Git(error) => error.code(),
            Self::Proxy(error) => error.code(),
            Self::Complete(error) => error.code(),
            Self::Budget(_) => FailureCode::TooLarge,
            Self::Folder(_) => FailureCode::Internal,
        }
    }
}

/// Does a job; blocks until it is done.
pub fn run(job: &FetchJob) -> FetchAnswer {
    if !locate::is_import_path(&job.import_path) {
        let detail = format!("{:?} is not an import path with a host", job.import_path);
        return failed(FailureCode::Repository, detail);
    }
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(error) => {
            let detail = format!("a scratch folder cannot be made: {error}");
            return failed(FailureCode::Internal, detail);
        }
    };
    let budget = Budget::new(job.max_bytes);
    let tools = Tools::new(job, &scratch, &budget);
    let http = Http::new(budget.clone());
    let mut failures = Vec::new();
    for &origin in &job.origins {
        match from(origin, job, &tools, &http, &budget, &scratch) {
            Ok(answer) => return answer,
            Err(error) => {
                let _ = clear(job);
                let code = error.code();
                let detail = tools.scrub(&error.to_string());
                failures.push((origin, FetchFailure { code, detail }));
                if !is_worth_another(code) {
                    break;
                }
            }
        }
    }
    FetchAnswer::Failed(combine(&job.import_path, failures))
}

fn from(
    origin: Origin,
    job: &FetchJob,
    tools: &Tools<'_>,
    http: &Http,
    budget: &Budget,
    scratch: &Scratch,
) -> Result<FetchAnswer, SourceError> {
    clear(job).map_err(SourceError::Folder)?;
    let (src, deps) = (job.dest.join("src"), job.dest.join("deps"));
    for folder in [&deps, &job.dest.join("overlay")] {
        fs::create_dir_all(folder).map_err(SourceError::Folder)?;
    }
    let (root, revision) = match origin {
        Origin::Git => match git::fetch(job, http, budget, scratch, &src)? {
            git::Outcome::Checkout { root, revision } => (root, revision),
            git::Outcome::Unchanged { revision } => return unchanged(job, revision),
        },
        Origin::Proxy => {
            match proxy::fetch(
                job,
                tools.go().map_err(ProxyError::GoCommand)?,
                budget,
                scratch,
                &src,
            )? {
                proxy::Outcome::Checkout { root, revision } => (root, revision),
                proxy::Outcome::Unchanged { revision } => return unchanged(job, revision),
            }
        }
    };
    let whole =
        complete::complete(tools, &job.dest, scratch, &root, &job.import_path, &job.imports)?;
    budget.would_fit(tree_size(&deps))?;
    Ok(FetchAnswer::Fetched(Fetched {
        revision,
        origin,
        module_path: whole.layout.module_path,
        module_dir: whole.layout.module_dir,
        import_path: whole.layout.import_path,
        package_name: whole.package_name,
        vendored: whole.vendored,
        cgo: whole.cgo,
    }))
}

fn unchanged(job: &FetchJob, revision: String) -> Result<FetchAnswer, SourceError> {
    clear(job).map_err(SourceError::Folder)?;
    Ok(FetchAnswer::Unchanged { revision })
}

/// Empties the job's folder of what an earlier source left there.
fn clear(job: &FetchJob) -> io::Result<()> {
    ["src", "deps", "overlay"].iter().try_for_each(|name| remove_tree(&job.dest.join(name)))
}

/// Whether another source may have what this one lacks.
fn is_worth_another(code: FailureCode) -> bool {
    matches!(code, FailureCode::Repository | FailureCode::Version | FailureCode::Unreachable)
}

/// One failure out of those of all sources. What a source says that knew the module is worth most, then that
/// one does not know it, then that one could not be asked.
fn combine(import_path: &str, failures: Vec<(Origin, FetchFailure)>) -> FetchFailure {
    let rank = |code: FailureCode| match code {
        FailureCode::Unreachable => 2,
        FailureCode::Repository => 1,
        _ => 0,
    };
    let code = failures.iter().map(|(_, f)| f.code).min_by_key(|&code| rank(code));
    let Some(code) = code else {
        let detail = format!("{import_path}: no source is configured");
        return FetchFailure { code: FailureCode::Internal, detail };
    };
    let said: Vec<String> = failures
        .iter()
        .map(|(origin, failure)| {
            let origin = match origin {
                Origin::Git => "from git",
                Origin::Proxy => "from the module proxy",
            };
            format!("{origin}: {}", failure.detail)
        })
        .collect();
    FetchFailure { code, detail: format!("{import_path}: {}", said.join("; ")) }
}

fn failed(code: FailureCode, detail: String) -> FetchAnswer {
    FetchAnswer::Failed(FetchFailure { code, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_failure_wins() {
        use FailureCode::{Package, Repository, Unreachable, Version};
        for (codes, want) in [
            (&[Unreachable][..], Unreachable),
            (&[Unreachable, Repository], Repository),
            (&[Repository, Unreachable], Repository),
            (&[Version, Repository], Version),
            (&[Unreachable, Package], Package),
            (&[Version, Unreachable], Version),
            (&[], FailureCode::Internal),
        ] {
            let failures = codes
                .iter()
                .map(|&code| (Origin::Git, FetchFailure { code, detail: "why".into() }))
                .collect();
            assert_eq!(combine("a.b/c", failures).code, want, "{codes:?}");
        }
    }
}
