//! Names of distribution sets, Go releases and machines.
//!
//! Invariants: a name that was parsed is one plain element of a path and of a URL.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of a distribution set, in characters.
const MAX_SET: usize = 32;

/// A distribution set of FreeBSD: `base`, `lib32`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct SetName(String);

/// A release of Go: `1.26.7`, `1.27rc1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct GoVersion(String);

/// A machine that archives are built for, as the sites of FreeBSD and Go name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `uname -m`.
    pub target: &'static str,
    /// `uname -p`.
    pub arch: &'static str,
    /// GOARCH.
    pub go: &'static str,
}

/// Why a text is not such a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a {what}")]
pub struct NameError {
    what: &'static str,
    name: String,
}

impl SetName {
    /// Reads a name, with or without the `.txz` of its archive.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix(".txz").unwrap_or(text);
        let legal =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let first = name.starts_with(|c: char| c.is_ascii_lowercase());
        if first && name.len() <= MAX_SET && name.chars().all(legal) {
            return Ok(Self(name.to_owned()));
        }
        Err(NameError { what: "distribution set such as base or lib32", name: text.to_owned() })
    }

    /// The set that every system needs.
    pub fn base() -> Self {
        Self("base".to_owned())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its archive.
    pub fn archive(&self) -> String {
        format!("{}.txz", self.0)
    }
}

impl GoVersion {
    /// Reads a version, with or without the `go` before it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse = || NameError { what: "release of Go such as 1.26.7", name: text.to_owned() };
        let version = text.strip_prefix("go").unwrap_or(text);
        let split = version.find(|c: char| c.is_ascii_lowercase()).unwrap_or(version.len());
        let (numbers, suffix) = version.split_at(split);
        let number = |text: &str| {
            matches!(text.len(), 1..=4) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let count = numbers.split('.').count();
        let candidate = ["rc", "beta"].iter().find_map(|name| suffix.strip_prefix(name));
        let legal = suffix.is_empty() || candidate.is_some_and(number);
        if (2..=3).contains(&count) && numbers.split('.').all(number) && legal {
            return Ok(Self(version.to_owned()));
        }
        Err(refuse())
    }

    /// The version of an archive by its file name: `go1.26.7.freebsd-amd64.tar.gz`.
    pub fn of_archive(name: &str) -> Option<Self> {
        let (version, _) = name.strip_prefix("go")?.split_once(".freebsd-")?;
        Self::parse(version).ok()
    }

    /// The version itself, without `go`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its archive for this machine.
    pub fn archive(&self, machine: Machine) -> String {
        format!("go{}.freebsd-{}.tar.gz", self.0, machine.go)
    }
}

impl Machine {
    /// The machine that this program was built for; none where there are no archives for it.
    pub fn here() -> Option<Self> {
        Self::of(std::env::consts::ARCH)
    }

    /// The machine by Rust's name of its architecture.
    pub fn of(arch: &str) -> Option<Self> {
        match arch {
            "x86_64" => Some(Self { target: "amd64", arch: "amd64", go: "amd64" }),
            "aarch64" => Some(Self { target: "arm64", arch: "aarch64", go: "arm64" }),
            _ => None,
        }
    }
}

impl TryFrom<String> for SetName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for GoVersion {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_named_with_or_without_its_archives_suffix() {
        for text in ["base", "base.txz"] {
            assert_eq!(SetName::parse(text).unwrap(), SetName::base());
        }
        assert_eq!(SetName::parse("base-dbg").unwrap().archive(), "base-dbg.txz");
        for bad in ["", ".txz", "../base", "Base", "-x", "a b", "base.tgz", "9base", "a/b"] {
            assert!(SetName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn releases_of_go_are_read_as_people_write_them() {
        for text in ["1.26.7", "go1.26.7", "1.9.2", "1.21", "1.27rc1", "1.18beta2"] {
            let version = GoVersion::parse(text).unwrap();
            assert_eq!(version.as_str(), text.trim_start_matches("go"));
        }
        for bad in ["", "1", "go", "1.26.7.1", "1.x", "1.26rc", "1.26/..", "1..2", "1.26.7-dev"] {
            assert!(GoVersion::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_name_of_an_archive_of_go_has_its_version() {
        let machine = Machine::of("aarch64").unwrap();
        let version = GoVersion::parse("1.26.7").unwrap();
        let name = version.archive(machine);
        assert_eq!(name, "go1.26.7.freebsd-arm64.tar.gz");
        assert_eq!(GoVersion::of_archive(&name), Some(version));
        assert_eq!(GoVersion::of_archive("go.tar.gz"), None);
        assert_eq!(GoVersion::of_archive("go1.26.7.linux-amd64.tar.gz"), None);
    }
}
