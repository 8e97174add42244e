//! The sites that archives are downloaded from, and the paths of archives there.

use std::fmt;

use host::layout::Release;
use serde::{Deserialize, Serialize};

use super::names::{GoVersion, Machine, SetName};

/// The site of the FreeBSD project.
const FREEBSD: &str = "https://download.freebsd.org";
/// The site of the Go project.
const GO: &str = "https://go.dev/dl";
/// Branches whose archives are snapshots, not releases.
const SNAPSHOTS: [&str; 4] = ["-STABLE", "-CURRENT", "-PRERELEASE", "-ALPHA"];

/// The URL of a site: https, or http on the loopback address of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Mirror(String);

/// Why a text is not the URL of a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a URL such as https://mirror.example.com/path; only loopback addresses may have http"
)]
pub struct MirrorError(String);

impl Mirror {
    /// Reads a URL without a query.
    pub fn parse(text: &str) -> Result<Self, MirrorError> {
        let refuse = || MirrorError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
        let authority = rest.split('/').next().unwrap_or_default();
        let allowed = scheme == "https" || (scheme == "http" && is_loopback(authority));
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '"' | '\\' | '@');
        let parts = rest.trim_end_matches('/').split('/');
        let walks = parts.clone().any(|part| matches!(part, "" | "." | ".."));
        if !allowed || authority.is_empty() || !rest.chars().all(plain) || walks {
            return Err(refuse());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The FreeBSD project's.
    pub fn freebsd() -> Self {
        Self(FREEBSD.to_owned())
    }

    /// The Go project's.
    pub fn go() -> Self {
        Self(GO.to_owned())
    }

    /// A release's MANIFEST.
    pub(super) fn manifest(&self, release: &Release, machine: Machine) -> String {
        self.of_release(release, machine, "MANIFEST")
    }

    /// A set's archive.
    pub(super) fn set(&self, release: &Release, machine: Machine, set: &SetName) -> String {
        self.of_release(release, machine, &set.archive())
    }

    fn of_release(&self, release: &Release, machine: Machine, file: &str) -> String {
        let snapshot = SNAPSHOTS.iter().any(|branch| release.as_str().contains(branch));
        let kind = if snapshot { "snapshots" } else { "releases" };
        format!("{}/{kind}/{}/{}/{release}/{file}", self.0, machine.target, machine.arch)
    }

    /// Go's archive.
    pub(super) fn go_archive(&self, version: &GoVersion, machine: Machine) -> String {
        format!("{}/{}", self.0, version.archive(machine))
    }

    /// The list of all releases of Go, as JSON.
    pub(super) fn go_releases(&self) -> String {
        format!("{}/?mode=json&include=all", self.0)
    }
}

/// Whether a URL leads to the loopback address of this host, where https is not needed.
pub(super) fn on_loopback(url: &str) -> bool {
    let authority = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    authority.is_some_and(is_loopback)
}

fn is_loopback(authority: &str) -> bool {
    ["127.0.0.1", "[::1]", "localhost"].iter().any(|host| {
        authority.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

impl TryFrom<String> for Mirror {
    type Error = MirrorError;

    fn try_from(text: String) -> Result<Self, MirrorError> {
        Self::parse(&text)
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_have_the_urls_of_the_projects_sites() {
        let machine = Machine::of("x86_64").unwrap();
        let site = Mirror::freebsd();
        let url = |release: &str, arch: &str| {
            let release = Release::parse(release).unwrap();
            site.set(&release, Machine::of(arch).unwrap(), &SetName::base())
        };
        let table = [
            ("15.0-RELEASE", "x86_64", "releases/amd64/amd64/15.0-RELEASE/base.txz"),
            ("14.3-RELEASE", "aarch64", "releases/arm64/aarch64/14.3-RELEASE/base.txz"),
            ("15.1-RC2", "x86_64", "releases/amd64/amd64/15.1-RC2/base.txz"),
            ("15.1-STABLE", "x86_64", "snapshots/amd64/amd64/15.1-STABLE/base.txz"),
            ("16.0-CURRENT", "x86_64", "snapshots/amd64/amd64/16.0-CURRENT/base.txz"),
        ];
        for (release, arch, path) in table {
            assert_eq!(url(release, arch), format!("https://download.freebsd.org/{path}"));
        }
        let version = GoVersion::parse("1.26.7").unwrap();
        let go = Mirror::go();
        let archive = go.go_archive(&version, machine);
        assert_eq!(archive, "https://go.dev/dl/go1.26.7.freebsd-amd64.tar.gz");
        assert_eq!(go.go_releases(), "https://go.dev/dl/?mode=json&include=all");
    }

    #[test]
    fn only_https_and_loopback_are_sites() {
        for good in
            ["https://a.example", "https://a.example:8443/pub/FreeBSD/", "http://[::1]:80/x"]
        {
            assert_eq!(Mirror::parse(good).unwrap().to_string(), good.trim_end_matches('/'));
        }
        let bad = [
            "",
            "a.example",
            "http://a.example",
            "http://127.0.0.1.example",
            "ftp://a.example",
            "https://",
            "https:///x",
            "https://a b",
            "https://a.example/?q",
            "https://u:p@a.example",
            "https://a.example/../x",
            "https://a.example//x",
        ];
        for bad in bad {
            assert!(Mirror::parse(bad).is_err(), "{bad}");
        }
        assert!(on_loopback("http://127.0.0.1:1/x") && !on_loopback("https://127.0.0.1/x"));
    }
}
