//! A checkout from git: find the repository, resolve the version to a commit, fetch that commit alone, write it.
//!
//! What must always hold: a revision that the server has costs no pack; a repository in a folder is only read;
//! no message names a folder of this host or a URL's credentials.

use std::io;
use std::path::Path;

use fetch_job::{FailureCode, FetchJob};
use git2::{ErrorCode, Oid, Repository};

use super::budget::Budget;
use super::discover::discover;
use super::http::{Http, HttpError};
use super::local::{LocalError, LocalRepo};
use super::locate::{self, Candidate, LocateError, LookupPlan, RepositoryLocation};
use super::module;
use super::refs::{Meaning, Ref, VersionQuery, major};
use super::scratch::Scratch;
use super::smart::{Extent, Remote, SmartError};
use super::text::{bounded, scrub};
use super::tree::{self, TreeError};
use super::vanity::{VanityError, below};

/// Why git gave no checkout.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("{0} is no git repository")]
    NoRepository(String),
    #[error("{path} cannot be looked up: {source}")]
    Lookup { path: String, source: HttpError },
    #[error("{path} cannot be looked up: its host answered with status {status}")]
    LookupStatus { path: String, status: u16 },
    #[error("{path} has no repository: {source}")]
    Vanity { path: String, source: VanityError },
    #[error("{at}: {source}")]
    Smart { at: String, source: SmartError },
    #[error("{at}: {source}")]
    Local { at: String, source: LocalError },
    #[error("{at} has no {version}")]
    Version { at: String, version: String },
    #[error("{at}: {source}")]
    Tree { at: String, source: TreeError },
    #[error("a scratch repository cannot be made: {0}")]
    Scratch(#[source] io::Error),
    #[error("a scratch repository cannot be used: {0}")]
    ScratchGit(#[from] git2::Error),
}

impl GitError {
    pub(super) fn code(&self) -> FailureCode {
        match self {
            Self::Locate(LocateError::Mirror(_)) => FailureCode::Internal,
            Self::Locate(_) | Self::NoRepository(_) | Self::Vanity { .. } => {
                FailureCode::Repository
            }
            Self::Version { .. } => FailureCode::Version,
            Self::Lookup { source: HttpError::Budget(_), .. } => FailureCode::TooLarge,
            Self::Lookup { .. } | Self::LookupStatus { .. } => FailureCode::Unreachable,
            Self::Smart { source, .. } => match source {
                SmartError::NoRepository(_) => FailureCode::Repository,
                SmartError::NoCommit(_) | SmartError::Unadvertised(_) => FailureCode::Version,
                SmartError::Budget(_) | SmartError::Http(HttpError::Budget(_)) => {
                    FailureCode::TooLarge
                }
                _ => FailureCode::Unreachable,
            },
            Self::Tree { source: TreeError::Budget(_), .. } => FailureCode::TooLarge,
            Self::Tree { source: TreeError::Write(_), .. } => FailureCode::Internal,
            Self::Tree { .. } | Self::Local { .. } => FailureCode::Unreachable,
            Self::Scratch(_) | Self::ScratchGit(_) => FailureCode::Internal,
        }
    }
}

/// What git gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Files were written; `root` is the import path of the repository's top folder.
    Checkout { root: String, revision: String },
    /// The server has this commit.
    Unchanged { revision: String },
}

/// Fetches what `job` asks for and writes its files to `src`.
pub(super) fn fetch(
    job: &FetchJob,
    http: &Http,
    budget: &Budget,
    scratch: &Scratch,
    src: &Path,
) -> Result<Outcome, GitError> {
    let wanted = VersionQuery::parse(job.version.as_deref());
    let found = find(job, &wanted, http)?;
    let below = below(&job.import_path, &found.root).unwrap_or_default().to_owned();
    let resolved = found.resolve(&wanted, &below, scratch)?;
    let have = |commit: Oid| job.have.contains(&commit.to_string());
    if have(resolved.commit) {
        return Ok(Outcome::Unchanged { revision: resolved.commit.to_string() });
    }
    let (mut objects, mut commit) = found.obtain(resolved, scratch)?;
    if wanted == VersionQuery::Default
        && let Some(number) = missing_major(&objects, commit, &below)
        && let Ok(release) = found.resolve(&VersionQuery::Major(number), &below, scratch)
    {
        if have(release.commit) {
            return Ok(Outcome::Unchanged { revision: release.commit.to_string() });
        }
        (objects, commit) = found.obtain(release, scratch)?;
    }
    if have(commit) {
        return Ok(Outcome::Unchanged { revision: commit.to_string() });
    }
    tree::write(&objects, commit, src, budget)
        .map_err(|source| GitError::Tree { at: found.name(), source })?;
    Ok(Outcome::Checkout { root: found.root, revision: commit.to_string() })
}

/// A repository that is there.
struct OpenedRepository<'a> {
    root: String,
    shown: String,
    source: Source<'a>,
}

enum Source<'a> {
    Remote(Remote<'a>),
    Local(LocalRepo),
}

/// A commit, and what is known of the way to it.
struct Resolved {
    commit: Oid,
    refs: Vec<Ref>,
    /// A store that has the commit with all its files already.
    complete: Option<Repository>,
}

fn find<'a>(
    job: &FetchJob,
    wanted: &VersionQuery,
    http: &'a Http,
) -> Result<OpenedRepository<'a>, GitError> {
    let candidates = match locate::plan(&job.import_path, &job.mirrors)? {
        LookupPlan::Try(candidates) => candidates,
        LookupPlan::Discover(fallback) => match (discover(&job.import_path, http), fallback) {
            (Ok(candidate), _) => vec![candidate],
            (Err(GitError::Vanity { .. }), Some(candidate)) => vec![candidate],
            (Err(error), _) => return Err(error),
        },
    };
    let mut tried = Vec::new();
    // Where there are several, most of them are no repositories.
    let guesses = candidates.len() == 1;
    for Candidate { root, place } in candidates {
        match place {
            RepositoryLocation::Folder(path) => {
                let shown = format!("the local mirror of {root}");
                if let Some(repo) = LocalRepo::at(&path) {
                    return Ok(OpenedRepository { root, shown, source: Source::Local(repo) });
                }
                if tried.last() != Some(&shown) {
                    tried.push(shown);
                }
            }
            RepositoryLocation::Url(url) => {
                let shown = scrub(&url, &[]);
                let below = below(&job.import_path, &root).unwrap_or_default();
                let early = wanted.few_prefixes(below).filter(|_| guesses);
                let guessed = early.and_then(|prefixes| Remote::guess(http, &url, &prefixes));
                match guessed.map_or_else(|| Remote::connect(http, &url), Ok) {
                    Ok(remote) => {
                        return Ok(OpenedRepository {
                            root,
                            shown,
                            source: Source::Remote(remote),
                        });
                    }
                    Err(SmartError::NoRepository(_)) => tried.push(shown),
                    Err(source) => return Err(GitError::Smart { at: shown, source }),
                }
            }
        }
    }
    Err(GitError::NoRepository(tried.join(" or ")))
}

impl OpenedRepository<'_> {
    fn name(&self) -> String {
        self.shown.clone()
    }

    fn smart(&self, source: SmartError) -> GitError {
        GitError::Smart { at: self.name(), source }
    }

    fn local(&self, source: LocalError) -> GitError {
        GitError::Local { at: self.name(), source }
    }

    fn missing(&self, version: &str) -> GitError {
        GitError::Version { at: self.name(), version: version.to_owned() }
    }

    fn refs(&self, wanted: &VersionQuery, below: &str) -> Result<Vec<Ref>, GitError> {
        match &self.source {
            Source::Remote(remote) => {
                // A whole commit needs no names, unless only they can be fetched.
                if matches!(wanted, VersionQuery::Commit(_)) && remote.serves_any_commit() {
                    return Ok(Vec::new());
                }
                remote.refs(&wanted.prefixes(below)).map_err(|e| self.smart(e))
            }
            Source::Local(repo) => {
                let objects = repo.objects().map_err(|e| self.local(e))?;
                repo.refs(&objects).map_err(|e| self.local(e))
            }
        }
    }

    fn resolve(
        &self,
        wanted: &VersionQuery,
        below: &str,
        scratch: &Scratch,
    ) -> Result<Resolved, GitError> {
        let refs = self.refs(wanted, below)?;
        let label = match wanted {
            VersionQuery::Default => "default branch: it is empty".to_owned(),
            VersionQuery::Major(n) => format!("release v{n}"),
            VersionQuery::Commit(oid) => format!("commit {oid}"),
            VersionQuery::Abbreviated(hex) => format!("commit {hex}"),
            VersionQuery::Name(name) => {
                format!("tag, branch or commit {}", bounded(name))
            }
        };
        match wanted.meaning(&refs, below) {
            Meaning::Commit(commit) => Ok(Resolved { commit, refs, complete: None }),
            Meaning::Missing => Err(self.missing(&label)),
            Meaning::Ambiguous => Err(self.missing(&format!("single {label}: it is ambiguous"))),
            Meaning::Search(hex) => self.search(&hex, refs, &label, scratch),
        }
    }

    /// Looks for a commit by its beginning, in a history without files where the server can give one.
    fn search(
        &self,
        hex: &str,
        refs: Vec<Ref>,
        label: &str,
        scratch: &Scratch,
    ) -> Result<Resolved, GitError> {
        let (objects, complete) = match &self.source {
            Source::Local(repo) => (repo.objects().map_err(|e| self.local(e))?, true),
            Source::Remote(remote) => {
                let objects = store(scratch, "history.git")?;
                let filtered = remote.filters();
                let extent = if filtered { Extent::History } else { Extent::Full };
                self.fetch_all(remote, &refs, extent, &objects)?;
                (objects, !filtered)
            }
        };
        let commit = match objects.find_commit_by_prefix(hex) {
            Ok(commit) => commit.id(),
            Err(e) if e.code() == ErrorCode::Ambiguous => {
                return Err(self.missing(&format!("single {label}: it is ambiguous")));
            }
            Err(_) => return Err(self.missing(label)),
        };
        Ok(Resolved { commit, refs, complete: complete.then_some(objects) })
    }

    fn fetch_all(
        &self,
        remote: &Remote<'_>,
        refs: &[Ref],
        extent: Extent,
        objects: &Repository,
    ) -> Result<(), GitError> {
        let mut wants: Vec<Oid> = refs
            .iter()
            .filter(|r| r.name.starts_with("refs/heads/") || r.name.starts_with("refs/tags/"))
            .map(|r| r.oid)
            .collect();
        wants.sort_unstable();
        wants.dedup();
        if wants.is_empty() {
            return Ok(());
        }
        remote.fetch(&wants, extent, &objects.odb()?).map_err(|e| self.smart(e))
    }

    /// Brings a commit's files into reach.
    fn obtain(&self, resolved: Resolved, scratch: &Scratch) -> Result<(Repository, Oid), GitError> {
        let Resolved { commit, refs, complete } = resolved;
        let objects = match (complete, &self.source) {
            (Some(objects), _) => objects,
            (None, Source::Local(repo)) => repo.objects().map_err(|e| self.local(e))?,
            (None, Source::Remote(remote)) => {
                let objects = store(scratch, &format!("{commit}.git"))?;
                // An old server gives what a name points to, not what an annotated tag leads to.
                let want = refs.iter().find(|r| r.target() == commit || r.oid == commit);
                match want {
                    Some(r) => self.fetch_one(remote, r.oid, &objects)?,
                    None if remote.serves_any_commit() => {
                        self.fetch_any(remote, commit, &objects)?;
                    }
                    None => self.fetch_all(remote, &refs, Extent::Full, &objects)?,
                }
                objects
            }
        };
        let peeled = objects
            .find_object(commit, None)
            .and_then(|object| object.peel_to_commit())
            .map(|peeled| peeled.id());
        let commit = peeled.map_err(|_| self.missing(&format!("commit {commit}")))?;
        Ok((objects, commit))
    }

    /// Fetches a commit that may have no name; some servers give only what has one.
    fn fetch_any(
        &self,
        remote: &Remote<'_>,
        commit: Oid,
        objects: &Repository,
    ) -> Result<(), GitError> {
        match self.fetch_one(remote, commit, objects) {
            Err(GitError::Smart { source: SmartError::Unadvertised(_), .. }) => {
                let all = ["refs/heads/".to_owned(), "refs/tags/".to_owned()];
                let refs = remote.refs(&all).map_err(|e| self.smart(e))?;
                match refs.iter().find(|r| r.target() == commit) {
                    Some(r) => self.fetch_one(remote, r.oid, objects),
                    None => self.fetch_all(remote, &refs, Extent::Full, objects),
                }
            }
            other => other,
        }
    }

    fn fetch_one(
        &self,
        remote: &Remote<'_>,
        want: Oid,
        objects: &Repository,
    ) -> Result<(), GitError> {
        match remote.fetch(&[want], Extent::One, &objects.odb()?) {
            Err(SmartError::NoCommit(_)) => Err(self.missing(&format!("commit {want}"))),
            other => other.map_err(|e| self.smart(e)),
        }
    }
}

fn store(scratch: &Scratch, name: &str) -> Result<Repository, GitError> {
    let path = scratch.folder(name).map_err(GitError::Scratch)?;
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).external_template(false);
    Ok(Repository::init_opts(path, &options)?)
}

/// The major version that the path asks for and that the commit does not have: neither as a folder nor as the
/// end of its go.mod's path.
fn missing_major(objects: &Repository, commit: Oid, below: &str) -> Option<u64> {
    let elements: Vec<&str> = below.split('/').collect();
    let at = elements.iter().position(|e| !e.contains('.') && major(e).is_some())?;
    let tree = objects.find_commit(commit).ok()?.tree().ok()?;
    if tree.get_path(Path::new(&elements[..=at].join("/"))).is_ok() {
        return None;
    }
    let go_mod = [&elements[..at], &["go.mod"]].concat().join("/");
    let declared = tree
        .get_path(Path::new(&go_mod))
        .ok()
        .and_then(|entry| objects.find_blob(entry.id()).ok())
        .and_then(|blob| module::path_of(&String::from_utf8_lossy(blob.content())))
        .is_some_and(|path| path.ends_with(&format!("/{}", elements[at])));
    if declared { None } else { major(elements[at]) }
}
