//! The fetch worker: turns a [`FetchJob`] into a checkout on disk. The worker runs inside a fetch
//! island, as an unprivileged user with a network, because it parses bytes from strangers: packs,
//! pages, go.mod files.
//!
//! Invariants:
//! - the worker writes to the job's folder and to `$TMPDIR` only, and starts no program but the go
//!   command;
//! - nothing that was fetched is executed or compiled;
//! - after [`FetchAnswer::Fetched`] the folder holds `src/`, `deps/` and `overlay/`, with which the
//!   package builds offline; after another answer none of the three is there;
//! - no message names a credential or a folder of this host.

mod advert;
mod budget;
mod complete;
mod complete_error;
mod discover;
mod forward;
mod gate;
mod git;
mod git_error;
mod gocmd;
mod http;
#[doc(hidden)]
pub mod inputs;
mod local;
mod locate;
mod lookup;
mod modfiles;
mod module;
mod outcome;
mod pkt;
mod plain;
mod proxy;
mod refs;
mod resolver;
mod scratch;
mod smart;
mod smart_error;
mod target;
mod text;
mod tree;
mod vanity;
mod verdict;

use std::fs;
use std::io;

use fetch_job::{FailureCode, FetchAnswer, FetchFailure, FetchJob, Fetched, Origin};

use budget::{Budget, OverBudget, tree_size};
use complete_error::CompleteError;
use git_error::GitError;
use gocmd::JobTools;
use http::Http;
use outcome::SourceOutcome;
use proxy::ProxyError;
use scratch::{Scratch, remove_tree};

/// Why one source gave no checkout that can be built.
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
    #[error("the folder of the checkout cannot be written: {0}")]
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

/// Runs a job, and blocks until it is done.
pub fn run(job: &FetchJob) -> FetchAnswer {
    if !locate::is_import_path(&job.import_path) {
        let detail = format!(
            "{:?} is not an import path: give host/owner/name, such as github.com/acme/tools",
            job.import_path
        );
        return failed(FailureCode::Repository, detail);
    }
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(error) => {
            let detail = format!("a scratch folder cannot be created below TMPDIR: {error}");
            return failed(FailureCode::Internal, detail);
        }
    };
    let budget = Budget::new(job.max_bytes);
    let tools = JobTools::new(job, &scratch, &budget);
    let http = Http::new(budget.clone(), job.reach.clone(), job.gate.as_deref());
    let mut failures = Vec::new();
    for &origin in &job.origins {
        match fetch_from(origin, job, &tools, &http, &budget, &scratch) {
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

fn fetch_from(
    origin: Origin,
    job: &FetchJob,
    tools: &JobTools<'_>,
    http: &Http,
    budget: &Budget,
    scratch: &Scratch,
) -> Result<FetchAnswer, SourceError> {
    clear(job).map_err(SourceError::Folder)?;
    let (src, deps) = (job.dest.join("src"), job.dest.join("deps"));
    for folder in [&deps, &job.dest.join("overlay")] {
        fs::create_dir_all(folder).map_err(SourceError::Folder)?;
    }
    let outcome = match origin {
        Origin::Git => git::fetch(job, http, budget, scratch, &src)?,
        Origin::Proxy => {
            let go = tools.go().map_err(ProxyError::GoCommand)?;
            proxy::fetch(job, go, budget, scratch, &src)?
        }
    };
    let (root, revision) = match outcome {
        SourceOutcome::Checkout { root, revision } => (root, revision),
        SourceOutcome::Unchanged { revision } => return unchanged(job, revision),
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

/// Whether another source may succeed where one failed with this code.
fn is_worth_another(code: FailureCode) -> bool {
    matches!(code, FailureCode::Repository | FailureCode::Version | FailureCode::Unreachable)
}

/// The failure to report, of the failures of all sources. A source that knows the module tells
/// most, then one that does not know the module, then one that could not be reached.
fn combine(import_path: &str, failures: Vec<(Origin, FetchFailure)>) -> FetchFailure {
    let rank = |code: FailureCode| match code {
        FailureCode::Unreachable => 2,
        FailureCode::Repository => 1,
        _ => 0,
    };
    let code = failures.iter().map(|(_, f)| f.code).min_by_key(|&code| rank(code));
    let Some(code) = code else {
        let detail = format!("{import_path}: no source is configured (sources.order is empty)");
        return FetchFailure { code: FailureCode::Internal, detail };
    };
    let details: Vec<String> = failures
        .iter()
        .map(|(origin, failure)| {
            let origin = match origin {
                Origin::Git => "from git",
                Origin::Proxy => "from the module proxy",
            };
            format!("{origin}: {}", failure.detail)
        })
        .collect();
    FetchFailure { code, detail: format!("{import_path}: {}", details.join("; ")) }
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
