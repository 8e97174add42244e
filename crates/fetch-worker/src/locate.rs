//! Where the repository of an import path may be: mirror rules, well-known hosts, `.git` in the
//! path.
//!
//! Pure: the result is a list of places in the order in which to try them.

use std::path::PathBuf;

use fetch_job::{Mirror, Place};

use super::vanity::below;

/// The hosts whose repositories are named by their first three elements, and what their URLs end
/// in.
const HOSTS: [(&str, &str); 5] = [
    ("github.com", ".git"),
    ("gitlab.com", ".git"),
    ("bitbucket.org", ".git"),
    ("codeberg.org", ".git"),
    ("git.sr.ht", ""),
];

/// Where a repository may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RepositoryLocation {
    Url(String),
    Folder(PathBuf),
}

/// A repository that may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The import path of the repository's root.
    pub(super) root: String,
    pub(super) place: RepositoryLocation,
}

/// How to find the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LookupPlan {
    /// The first of these that is a repository.
    Try(Vec<Candidate>),
    /// Ask the path's host by `?go-get=1`; without an answer, try the candidate, if there is one.
    Discover(Option<Candidate>),
}

/// Why an import path cannot be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LocateError {
    #[error("{0} is not an import path: give host/owner/name")]
    Path(String),
    #[error("{0} names no repository: give host/owner/name")]
    Short(String),
    #[error(
        "sources.mirrors: the target for {0} must be an https URL, an http URL of a loopback address, or an absolute folder"
    )]
    Mirror(String),
}

/// Decides where to look.
pub(super) fn plan(import_path: &str, mirrors: &[Mirror]) -> Result<LookupPlan, LocateError> {
    let elements: Vec<&str> = import_path.split('/').collect();
    if !is_import_path(import_path) {
        return Err(LocateError::Path(import_path.to_owned()));
    }
    if let Some(mirror) = mirrors.iter().find(|m| below(import_path, &m.prefix).is_some()) {
        return mirrored(import_path, mirror).map(LookupPlan::Try);
    }
    let host = elements[0];
    if let Some((_, suffix)) = HOSTS.iter().find(|(known, _)| *known == host) {
        if elements.len() < 3 {
            return Err(LocateError::Short(import_path.to_owned()));
        }
        let root = elements[..3].join("/");
        let url = format!("https://{}{suffix}", root.strip_suffix(".git").unwrap_or(&root));
        let candidate = Candidate { root, place: RepositoryLocation::Url(url) };
        // A repository of a subgroup has more elements than three, which only the host can tell.
        if host == "gitlab.com" && elements.len() > 3 {
            return Ok(LookupPlan::Discover(Some(candidate)));
        }
        return Ok(LookupPlan::Try(vec![candidate]));
    }
    if let Some(at) = elements.iter().skip(1).position(|e| e.len() > 4 && e.ends_with(".git")) {
        let root = elements[..at + 2].join("/");
        let place = RepositoryLocation::Url(format!("https://{root}"));
        return Ok(LookupPlan::Try(vec![Candidate { root, place }]));
    }
    Ok(LookupPlan::Discover(None))
}

fn mirrored(import_path: &str, mirror: &Mirror) -> Result<Vec<Candidate>, LocateError> {
    let rest = below(import_path, &mirror.prefix).unwrap_or_default();
    let rest: Vec<&str> = rest.split('/').filter(|e| !e.is_empty()).collect();
    let target = mirror.target.trim_end_matches('/');
    let prefix_len = mirror.prefix.split('/').filter(|e| !e.is_empty()).count();
    let known = HOSTS.iter().any(|(h, _)| import_path.split('/').next() == Some(h));
    let folder = target.starts_with('/');
    if !folder && !allowed_url(target) {
        return Err(LocateError::Mirror(mirror.prefix.clone()));
    }
    let counts: Vec<usize> = if known && !folder {
        let count = 3usize.saturating_sub(prefix_len);
        if count > rest.len() {
            return Err(LocateError::Short(import_path.to_owned()));
        }
        vec![count]
    } else {
        // The target itself is a repository for a prefix below a host; for a whole host that is
        // rare, and a URL without a path is none.
        let all = 1..=rest.len();
        let itself = 0..usize::from(folder || has_path(target));
        if prefix_len > 1 { itself.chain(all).collect() } else { all.chain(itself).collect() }
    };
    let mut out = Vec::new();
    for count in counts {
        let tail = rest[..count].join("/");
        let root = [mirror.prefix.as_str(), &tail]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/");
        let base = if tail.is_empty() { target.to_owned() } else { format!("{target}/{tail}") };
        let with_git = format!("{}.git", base.strip_suffix(".git").unwrap_or(&base));
        if folder {
            for path in [with_git, base] {
                let place = RepositoryLocation::Folder(PathBuf::from(path));
                out.push(Candidate { root: root.clone(), place });
            }
        } else {
            out.push(Candidate { root, place: RepositoryLocation::Url(with_git) });
        }
    }
    Ok(out)
}

fn has_path(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
}

fn allowed_url(target: &str) -> bool {
    if target.starts_with("https://") {
        return true;
    }
    let local = Place::of_url(target).is_some_and(|place| place.host.is_this_machine());
    target.starts_with("http://") && local
}

/// Whether the go command accepts the path; such a path is safe as a file name and in a URL.
pub(super) fn is_import_path(path: &str) -> bool {
    path.len() <= 1024
        && path.split('/').all(is_element)
        && path.split('/').next().is_some_and(|host| host.contains('.'))
}

/// Whether the go command accepts an element of an import path.
fn is_element(element: &str) -> bool {
    !element.is_empty()
        && !element.starts_with('.')
        && !element.ends_with('.')
        && !element.starts_with('-')
        && element.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(root: &str, url: &str) -> Candidate {
        Candidate { root: root.into(), place: RepositoryLocation::Url(url.into()) }
    }

    fn folder(root: &str, path: &str) -> Candidate {
        Candidate { root: root.into(), place: RepositoryLocation::Folder(path.into()) }
    }

    fn rule(prefix: &str, target: &str) -> Mirror {
        Mirror { prefix: prefix.into(), target: target.into() }
    }

    #[test]
    fn a_well_known_host_needs_no_question() {
        let one = |root: &str, at: &str| Ok(LookupPlan::Try(vec![url(root, at)]));
        for (path, want) in [
            ("github.com/a/b", one("github.com/a/b", "https://github.com/a/b.git")),
            ("github.com/a/b/v3/c", one("github.com/a/b", "https://github.com/a/b.git")),
            ("github.com/a/b.git", one("github.com/a/b.git", "https://github.com/a/b.git")),
            ("git.sr.ht/~a/b/c", one("git.sr.ht/~a/b", "https://git.sr.ht/~a/b")),
            ("gitlab.com/a/b", one("gitlab.com/a/b", "https://gitlab.com/a/b.git")),
            ("ex.com/x/r.git/sub", one("ex.com/x/r.git", "https://ex.com/x/r.git")),
            ("gopkg.in/yaml.v3", Ok(LookupPlan::Discover(None))),
            ("golang.org/x/text/cases", Ok(LookupPlan::Discover(None))),
            ("github.com/a", Err(LocateError::Short("github.com/a".into()))),
            ("fmt", Err(LocateError::Path("fmt".into()))),
            ("ex.com/../a", Err(LocateError::Path("ex.com/../a".into()))),
            ("ex.com//a", Err(LocateError::Path("ex.com//a".into()))),
            ("ex.com/a?b", Err(LocateError::Path("ex.com/a?b".into()))),
            ("-ex.com/a", Err(LocateError::Path("-ex.com/a".into()))),
            ("", Err(LocateError::Path(String::new()))),
        ] {
            assert_eq!(plan(path, &[]), want, "{path}");
        }
        let subgroup = url("gitlab.com/a/b", "https://gitlab.com/a/b.git");
        assert_eq!(plan("gitlab.com/a/b/c", &[]), Ok(LookupPlan::Discover(Some(subgroup))));
    }

    #[test]
    fn the_first_mirror_whose_prefix_matches_wins() {
        for (path, rules, want) in [
            (
                "github.com/a/b/c",
                vec![
                    rule("git", "/no"),
                    rule("github.com", "https://m/x/"),
                    rule("github.com/a", "/no"),
                ],
                vec![url("github.com/a/b", "https://m/x/a/b.git")],
            ),
            (
                "github.com/a/b/c",
                vec![rule("github.com/a", "http://127.0.0.1:9/x")],
                vec![url("github.com/a/b", "http://127.0.0.1:9/x/b.git")],
            ),
            (
                "github.com/a/b/c",
                vec![rule("github.com/a/b", "https://m/x")],
                vec![url("github.com/a/b", "https://m/x.git")],
            ),
            (
                "ex.com/a/b",
                vec![rule("ex.com", "https://m")],
                vec![url("ex.com/a", "https://m/a.git"), url("ex.com/a/b", "https://m/a/b.git")],
            ),
            (
                "ex.com/a",
                vec![rule("ex.com", "https://m/x")],
                vec![url("ex.com/a", "https://m/x/a.git"), url("ex.com", "https://m/x.git")],
            ),
            (
                "github.com/a/b",
                vec![rule("github.com", "/srv")],
                vec![
                    folder("github.com/a", "/srv/a.git"),
                    folder("github.com/a", "/srv/a"),
                    folder("github.com/a/b", "/srv/a/b.git"),
                    folder("github.com/a/b", "/srv/a/b"),
                    folder("github.com", "/srv.git"),
                    folder("github.com", "/srv"),
                ],
            ),
            (
                "ex.com/a",
                vec![rule("ex.com/a", "/srv/a.git")],
                vec![folder("ex.com/a", "/srv/a.git"), folder("ex.com/a", "/srv/a.git")],
            ),
        ] {
            assert_eq!(plan(path, &rules), Ok(LookupPlan::Try(want)), "{path}");
        }
    }

    #[test]
    fn a_mirror_in_the_clear_is_refused_unless_it_is_on_this_machine() {
        for (target, ok) in [
            ("http://localhost/x", true),
            ("http://127.0.0.1:80/x", true),
            ("http://[::1]:80/x", true),
            ("http://u:p@127.0.0.1/x", true),
            ("http://127.0.0.1@evil.com/x", false),
            ("http://evil.com/x", false),
            ("ssh://evil.com/x", false),
            ("relative/x", false),
        ] {
            let found = plan("ex.com/a", &[rule("ex.com", target)]);
            assert_eq!(found.is_ok(), ok, "{target}");
        }
    }
}
