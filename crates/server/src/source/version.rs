//! Versions of requests, and the revisions that they mean.

use std::fmt;

use super::path::excerpt;

/// The longest version text, in bytes.
const MAX_BYTES: usize = 200;

/// The version of a request: a tag, a branch, a commit or a pseudo-version, not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String);

/// A commit of 40 hex digits, or a module's version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision(String);

/// A text that is no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a version: give a tag, a branch, a commit of 7 to 40 hex digits or a pseudo-version",
    excerpt(.0)
)]
pub struct VersionError(String);

impl Version {
    /// Reads a version by git's rules for the names of references, with plain ASCII characters
    /// only.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/+".contains(&b);
        let element = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
                && !part.ends_with(".lock")
        };
        let legal = text.len() <= MAX_BYTES
            && text.bytes().all(plain)
            && text.split('/').all(element)
            && !text.contains("..");
        if legal { Ok(Self(text.to_owned())) } else { Err(VersionError(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text means the same source for ever: a release, a pseudo-version or a whole
    /// commit. A branch, a tag of another form or an abbreviation can mean another one later.
    pub fn is_exact(&self) -> bool {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_release = |text: &str| {
            let core = text.split(['-', '+']).next().unwrap_or_default();
            let parts: Vec<&str> = core.split('.').collect();
            parts.len() == 3 && parts.into_iter().all(is_number)
        };
        let is_commit = self.0.len() == 40 && self.0.bytes().all(|b| b.is_ascii_hexdigit());
        is_commit || self.0.strip_prefix('v').is_some_and(is_release)
    }
}

impl Revision {
    /// Reads a revision back from a worker or from disk.
    pub fn parse(text: &str) -> Option<Self> {
        Version::parse(text).ok().map(|version| Self(version.0))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_whole_commits_mean_one_source_for_ever() {
        let exact = |text: &str| Version::parse(text).unwrap().is_exact();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for text in ["v1.2.3", "v0.1.0-rc.1", "v2.0.0+incompatible", commit] {
            assert!(exact(text), "{text}");
        }
        for text in ["v1", "v1.2", "main", "1.2.3", "v1.2.x", "0123456789ab", "release-v1.2.3"] {
            assert!(!exact(text), "{text}");
        }
    }

    #[test]
    fn tags_branches_commits_and_pseudo_versions_are_read() {
        let good = [
            "v1.2.3",
            "main",
            "feature/x",
            "e5eae56",
            "sub/v2.0.0-rc.1",
            "v2.0.0+incompatible",
            "v0.0.0-20171122090728-e5eae5659af2",
        ];
        for text in good {
            assert_eq!(Version::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn texts_that_git_or_a_command_would_misread_are_refused() {
        let bad = [
            "", "-rf", "a..b", "a b", "/x", "x/", "a//b", ".x", "x.lock", "a~1", "a^", "a:b",
            "@{1}", "a\n", "*", "refs/-x",
        ];
        for text in bad {
            assert!(Version::parse(text).is_err(), "{text}");
        }
        assert!(Version::parse(&"x".repeat(MAX_BYTES + 1)).is_err());
    }
}
