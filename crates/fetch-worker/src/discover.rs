//! Asking a host by `?go-get=1` where a repository is; what its page means is decided in `vanity`.

use std::io;

use super::git::GitError;
use super::http::{Ask, Http, HttpError};
use super::locate::{Candidate, RepositoryLocation};
use super::vanity::{self, VanityError};

/// A page with go-import tags is read this far.
const MAX_PAGE: u64 = 1 << 20;

/// Asks an import path's host, then the host of the prefix that it names, which must say the same: otherwise
/// one user of a shared host could speak for all of it.
pub(super) fn discover(import_path: &str, http: &Http) -> Result<Candidate, GitError> {
    let vanity = |path: &str, source| GitError::Vanity { path: path.to_owned(), source };
    let tag = |asked: &str| {
        let url = format!("https://{asked}?go-get=1");
        let lookup = |source| GitError::Lookup { path: asked.to_owned(), source };
        let reply = http.send(&Ask { url: &url, body: None, headers: &[] }).map_err(lookup)?;
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
