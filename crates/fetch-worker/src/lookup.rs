//! Which module an import path may belong to, asked of the module proxy through the go command.
//!
//! Candidates are asked at the same time, one go command each: the go command itself would ask one after the other,
//! and gives up where a proxy refuses to speak of a path that is no module.

use std::thread;

use serde::Deserialize;

use super::gocmd::{GoCommand, GoError};
use super::refs::{major, pseudo_commit};
use super::scratch::Scratch;
use super::verdict::{Verdict, verdict};

/// An import path has no more prefixes that are asked about.
const MAX_CANDIDATES: usize = 8;

/// Hosts whose modules have at least this many elements.
const SHORTEST: [(&str, usize); 6] = [
    ("github.com", 3),
    ("gitlab.com", 3),
    ("bitbucket.org", 3),
    ("codeberg.org", 3),
    ("golang.org", 3),
    ("gopkg.in", 2),
];

/// A module at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) path: String,
    pub(super) version: String,
}

/// Why a candidate is no module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Miss {
    pub(super) verdict: Verdict,
    pub(super) text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    path: String,
    #[serde(default)]
    version: String,
    error: Option<ListedError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedError {
    err: String,
}

/// Asks for every module that could hold `import_path`, longest path first.
pub(super) fn query(
    go: &GoCommand<'_>,
    scratch: &Scratch,
    import_path: &str,
    version: Option<&str>,
) -> Result<Vec<Result<Module, Miss>>, GoError> {
    let folder = scratch.folder("lookup").map_err(GoError::Start)?;
    let asked = candidates(import_path, version);
    thread::scope(|scope| {
        let threads: Vec<_> =
            asked.iter().map(|candidate| scope.spawn(|| one(go, &folder, candidate))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or(Err(GoError::Output))).collect()
    })
}

fn one(
    go: &GoCommand<'_>,
    folder: &std::path::Path,
    candidate: &str,
) -> Result<Result<Module, Miss>, GoError> {
    let output = go.run(folder, &["list", "-m", "-e", "-json", "--", candidate])?;
    let miss = |text: &str| {
        let text = go.scrub(text);
        Err(Miss { verdict: verdict(&text), text })
    };
    let Ok(listed) = serde_json::from_slice::<Listed>(&output.stdout) else {
        return Ok(miss(&output.stderr));
    };
    Ok(match listed.error {
        Some(error) => miss(&error.err),
        None if listed.version.is_empty() => miss(&output.stderr),
        None => Ok(Module { path: listed.path, version: listed.version }),
    })
}

/// The queries `module@version`, longest module path first.
fn candidates(import_path: &str, version: Option<&str>) -> Vec<String> {
    let elements: Vec<&str> = import_path.split('/').collect();
    let shortest = SHORTEST.iter().find(|(h, _)| *h == elements[0]).map_or(1, |(_, n)| *n);
    let mut out = Vec::new();
    for len in (shortest..=elements.len()).rev() {
        let path = elements[..len].join("/");
        let version = match version {
            None => "latest",
            // The tag of a nested module, as its repository has it.
            Some(tag) => match tag.rsplit_once('/') {
                Some((folder, number)) if path.ends_with(&format!("/{folder}")) => number,
                _ => tag,
            },
        };
        // A release from v2 on is of a module whose path says so, which a client may leave out.
        if let Some(number) = major(version)
            && pseudo_commit(version).is_none()
            && version.contains('.')
            && len == shortest.max(3)
            && !elements[len - 1].contains('.')
            && elements.get(len).and_then(|e| major(e)).is_none()
        {
            out.push(format!("{path}/v{number}@{version}"));
        }
        out.push(format!("{path}@{version}"));
    }
    out.truncate(MAX_CANDIDATES);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_that_can_be_a_module_is_a_candidate() {
        for (path, version, want) in [
            ("github.com/a/b", None, &["github.com/a/b@latest"][..]),
            (
                "github.com/a/b/c",
                Some("v1.2.0"),
                &["github.com/a/b/c@v1.2.0", "github.com/a/b@v1.2.0"],
            ),
            (
                "github.com/a/b",
                Some("v3.1.0"),
                &["github.com/a/b/v3@v3.1.0", "github.com/a/b@v3.1.0"],
            ),
            (
                "github.com/a/b/v3/c",
                Some("v3.1.0"),
                &[
                    "github.com/a/b/v3/c@v3.1.0",
                    "github.com/a/b/v3@v3.1.0",
                    "github.com/a/b@v3.1.0",
                ],
            ),
            (
                "github.com/a/b/c",
                Some("c/v1.2.0"),
                &["github.com/a/b/c@v1.2.0", "github.com/a/b@c/v1.2.0"],
            ),
            ("gopkg.in/yaml.v3", None, &["gopkg.in/yaml.v3@latest"]),
            (
                "golang.org/x/text/cases",
                None,
                &["golang.org/x/text/cases@latest", "golang.org/x/text@latest"],
            ),
            ("ex.com/m", Some("abcdef1"), &["ex.com/m@abcdef1", "ex.com@abcdef1"]),
            ("github.com/a", None, &[]),
        ] {
            assert_eq!(candidates(path, version), want, "{path} {version:?}");
        }
    }
}
