//! Real modules, brought by the go command and made into bare git repositories.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::calls::{CALLS, GEOHASH, GEOHASH_2017};
use crate::case::Case;
use crate::repositories::{FIRST_COMMIT_TEXT, MAIN, Repository};

/// A repository, the module in it, and the versions that become its commits.
struct Real {
    repository: &'static str,
    module: &'static str,
    versions: &'static [&'static str],
}

const fn real(repository: &'static str, versions: &'static [&'static str]) -> Real {
    Real { repository, module: repository, versions }
}

const REAL: &[Real] = &[
    real(GEOHASH, &[GEOHASH_2017, "v0.10.0"]),
    real("github.com/dustin/go-humanize", &["v1.0.0", "v1.0.1"]),
    real("github.com/google/uuid", &["v1.6.0"]),
    real("github.com/shopspring/decimal", &["v1.3.1", "v1.4.0"]),
    real("github.com/gosimple/slug", &["v1.15.0"]),
    real("github.com/pkg/errors", &["v0.9.1"]),
    real("github.com/pmezard/go-difflib", &["v1.0.0"]),
    real("github.com/davecgh/go-spew", &["v1.1.1"]),
    real("github.com/samber/lo", &["v1.39.0"]),
    real("github.com/stretchr/testify", &["v1.8.4"]),
    real("gopkg.in/yaml.v3", &["v3.0.1"]),
    Real {
        repository: "github.com/Masterminds/semver",
        module: "github.com/Masterminds/semver/v3",
        versions: &["v3.2.1"],
    },
    Real {
        repository: "github.com/cespare/xxhash",
        module: "github.com/cespare/xxhash/v2",
        versions: &["v2.3.0"],
    },
    // Vanity paths whose repositories the mirror keeps under the same name.
    real("golang.org/x/time", &["v0.5.0"]),
    real("golang.org/x/text", &["v0.14.0"]),
];

/// The hosts of the repositories.
pub(crate) const HOSTS: [&str; 3] = ["github.com", "gopkg.in", "golang.org"];
/// A branch whose name has a slash, at geohash's commit of 2017.
pub(crate) const TOPIC: &str = "topic/2017";

/// Where each repository's names point to, with the empty name for its HEAD.
#[derive(Debug, Default)]
pub(crate) struct Library {
    commits: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl Library {
    /// Makes all repositories below a folder: `github.com/a/b` lies in `github.com/a/b.git`.
    pub(crate) fn make(folder: &Path) -> Result<Self, String> {
        let mut library = Self::default();
        for real in REAL {
            let names = real.make(folder).map_err(|e| format!("{}: {e}", real.repository))?;
            library.commits.insert(real.repository, names);
        }
        Ok(library)
    }

    /// The commit that a version of geohash means.
    pub(crate) fn geohash(&self, version: &str) -> String {
        self.commits[GEOHASH][version].clone()
    }

    /// The rows of the table that these repositories can answer, and the commit that has to run.
    pub(crate) fn rows() -> impl Iterator<Item = (&'static Case, &'static str, &'static str)> {
        CALLS.iter().filter_map(|case| {
            let real = REAL.iter().find(|real| real.has(case))?;
            Some((case, real.repository, case.version.unwrap_or("")))
        })
    }

    /// The commit of a repository that a version means.
    pub(crate) fn commit(&self, repository: &str, version: &str) -> &str {
        &self.commits[repository][version]
    }
}

impl Real {
    fn has(&self, case: &Case) -> bool {
        let path = case.url.trim_start_matches("https://").trim_end_matches(".git");
        let below = path.strip_prefix(self.module);
        // A pseudo-version names a commit of the real repository, which ours does not have.
        let tagged = |version| self.versions.contains(&version) && version != GEOHASH_2017;
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && case.version.is_none_or(tagged)
    }

    fn make(&self, folder: &Path) -> Result<BTreeMap<String, String>, String> {
        let text = |e: git2::Error| e.to_string();
        let path = folder.join(format!("{}.git", self.repository));
        let mut repository = Repository::create(&path).map_err(text)?;
        let mut names = BTreeMap::new();
        for version in self.versions {
            let source = download(self.module, version)?;
            let commit = repository.commit(Path::new(&source), None).map_err(text)?;
            if *version == GEOHASH_2017 {
                repository.branch(TOPIC, commit).map_err(text)?;
                names.insert(TOPIC.to_owned(), commit.to_string());
            } else {
                repository.tag(version, commit).map_err(text)?;
                names.insert((*version).to_owned(), commit.to_string());
            }
            for name in ["", MAIN] {
                names.insert(name.to_owned(), commit.to_string());
            }
        }
        Ok(names)
    }
}

/// The pseudo-version of the first commit of one of our repositories.
pub(crate) fn pseudo_version(commit: &str) -> String {
    format!("v0.0.0-{FIRST_COMMIT_TEXT}-{}", &commit[..12])
}

/// True if the go command can ask a module proxy.
pub(crate) fn proxy_answers() -> bool {
    go(&["list", "-m", "-versions", GEOHASH]).is_ok()
}

/// The folder with the source of a module at a version.
fn download(module: &str, version: &str) -> Result<String, String> {
    let answer = go(&["mod", "download", "-json", &format!("{module}@{version}")])?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|e| e.to_string())?;
    answer["Dir"].as_str().map(str::to_owned).ok_or_else(|| format!("no folder in {answer}"))
}

/// The folder in which the go command keeps its downloads, after it has downloaded this module.
pub(crate) fn downloaded(module: &str, version: &str) -> Result<String, String> {
    download(module, version)?;
    let cache = String::from_utf8(go(&["env", "GOMODCACHE"])?).map_err(|e| e.to_string())?;
    Ok(format!("{}/cache/download", cache.trim()))
}

fn go(args: &[&str]) -> Result<Vec<u8>, String> {
    let program = std::env::var_os("SKY_ISLAND_GO").unwrap_or_else(|| "go".into());
    let output = Command::new(program)
        .args(args)
        .current_dir(std::env::temp_dir())
        .env("GOFLAGS", "-mod=mod")
        .env("GO111MODULE", "on")
        .env("GOWORK", "off")
        .output()
        .map_err(|e| format!("the go command does not start: {e}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("go {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)))
}
