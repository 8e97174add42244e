//! Asks a host by `?go-get=1` where a repository is; `vanity` reads the page.

use std::io;

use super::git_error::GitError;
use super::http::{Http, HttpError, HttpRequest};
use super::locate::{Candidate, RepositoryLocation};
use super::vanity::{self, VanityError};

/// How many bytes of a page are read.
const MAX_PAGE: u64 = 1 << 20;

/// Asks the host of an import path, then the host of the prefix that the page names. Both must
/// agree: otherwise one user of a shared host could redirect the paths of others.
pub(super) fn discover(import_path: &str, http: &Http) -> Result<Candidate, GitError> {
    let vanity = |path: &str, source| GitError::Vanity { path: path.to_owned(), source };
    let tag = |asked: &str| {
        let url = format!("https://{asked}?go-get=1");
        let lookup = |source| GitError::Lookup { path: asked.to_owned(), source };
        let reply =
            http.send(&HttpRequest { url: &url, body: None, headers: &[] }).map_err(lookup)?;
        let mut page = Vec::new();
        let read = io::Read::read_to_end(&mut io::Read::take(reply.body, MAX_PAGE), &mut page);
        if let Err(e) = read {
            return Err(match super::budget::over_budget(&e) {
                Some(over) => lookup(over.into()),
                None => lookup(HttpError::Unreachable {
                    host: asked.split('/').next().unwrap_or_default().to_owned(),
                    reason: e.to_string(),
                }),
            });
        }
        let tags = vanity::meta_imports(&page);
        // The go command also reads the tags of a page that comes with an error status.
        if tags.is_empty() && (reply.status >= 500 || reply.status == 429) {
            let path = asked.to_owned();
            return Err(GitError::LookupStatus { path, status: reply.status });
        }
        vanity::matching(tags, import_path).map_err(|e| vanity(asked, e))
    };
    let found = tag(import_path)?;
    if found.prefix != import_path && tag(&found.prefix)? != found {
        let prefix = found.prefix.clone();
        return Err(vanity(&prefix, VanityError::NoTag(import_path.to_owned())));
    }
    let url = found.repo.trim_end_matches('/').to_owned();
    Ok(Candidate { root: found.prefix, place: RepositoryLocation::Url(url) })
}
