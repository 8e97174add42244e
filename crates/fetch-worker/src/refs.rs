//! What a version means in a git repository: pure decisions over the names that it advertises.
//!
//! A name that exists always beats a guess: `deadbeef` is the tag or branch of that name first, a commit second.

use git2::Oid;

/// A reference as a repository shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ref {
    pub(super) name: String,
    pub(super) oid: Oid,
    /// What an annotated tag points to in the end.
    pub(super) peeled: Option<Oid>,
}

impl Ref {
    /// The object to fetch.
    pub(super) fn target(&self) -> Oid {
        self.peeled.unwrap_or(self.oid)
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VersionQuery {
    /// Nothing: the default branch.
    Default,
    /// The newest release `vN.*` of one major version.
    Major(u64),
    /// A whole commit.
    Commit(Oid),
    /// The commit of a pseudo-version, which no name can be meant by.
    Abbreviated(String),
    /// A tag or branch, or (where it is 7 to 40 hex digits) a commit.
    Name(String),
}

/// What it is in this repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Commit(Oid),
    /// A commit that begins so and that no advertised name points to.
    Search(String),
    /// Two advertised commits begin so.
    Ambiguous,
    Missing,
}

impl VersionQuery {
    /// Reads a version as a client wrote it.
    pub(super) fn parse(version: Option<&str>) -> Self {
        let Some(version) = version else { return Self::Default };
        if version.len() == 40
            && is_hex(version)
            && let Ok(oid) = Oid::from_str(version)
        {
            return Self::Commit(oid);
        }
        if let Some(commit) = pseudo_commit(version) {
            return Self::Abbreviated(commit.to_owned());
        }
        Self::Name(version.strip_suffix("+incompatible").unwrap_or(version).to_owned())
    }

    /// The prefixes of the references that can decide it; `below` is the package's path in the repository.
    pub(super) fn prefixes(&self, below: &str) -> Vec<String> {
        match self {
            Self::Default => vec!["HEAD".into()],
            Self::Major(n) => vec![format!("refs/tags/v{n}.")],
            Self::Commit(_) => vec!["HEAD".into()],
            Self::Abbreviated(_) => vec!["refs/heads/".into(), "refs/tags/".into()],
            Self::Name(name) if is_abbreviation(name) => {
                vec!["refs/heads/".into(), "refs/tags/".into()]
            }
            Self::Name(name) => names(name, below),
        }
    }

    /// The same where a few names are enough, and nothing will have to be searched for.
    pub(super) fn few_prefixes(&self, below: &str) -> Option<Vec<String>> {
        match self {
            Self::Commit(_) | Self::Abbreviated(_) => None,
            Self::Name(name) if is_abbreviation(name) => None,
            _ => Some(self.prefixes(below)),
        }
    }

    /// Decides it.
    pub(super) fn meaning(&self, refs: &[Ref], below: &str) -> Meaning {
        let named = |name: &str| refs.iter().find(|r| r.name == name).map(Ref::target);
        let or_missing = |oid: Option<Oid>| oid.map_or(Meaning::Missing, Meaning::Commit);
        match self {
            Self::Default => or_missing(named("HEAD")),
            Self::Commit(oid) => Meaning::Commit(*oid),
            Self::Major(n) => or_missing(newest(refs, *n)),
            Self::Abbreviated(hex) => by_prefix(refs, hex),
            Self::Name(name) => match names(name, below).iter().find_map(|n| named(n)) {
                Some(oid) => Meaning::Commit(oid),
                None if is_abbreviation(name) => by_prefix(refs, &name.to_ascii_lowercase()),
                None => Meaning::Missing,
            },
        }
    }
}

/// The full names that a short one can stand for, best first. A release of a nested module is tagged with the
/// module's folder before it, and the deepest module is the one that the go command would take.
fn names(name: &str, below: &str) -> Vec<String> {
    let mut out = Vec::new();
    if semver(name).is_some() {
        let mut folder = below;
        while !folder.is_empty() {
            out.push(format!("refs/tags/{folder}/{name}"));
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
    out.push(format!("refs/tags/{name}"));
    out.push(format!("refs/heads/{name}"));
    out
}

fn by_prefix(refs: &[Ref], hex: &str) -> Meaning {
    let mut found: Option<Oid> = None;
    for oid in refs.iter().map(Ref::target).filter(|oid| oid.to_string().starts_with(hex)) {
        if found.is_some_and(|other| other != oid) {
            return Meaning::Ambiguous;
        }
        found = Some(oid);
    }
    found.map_or_else(|| Meaning::Search(hex.to_owned()), Meaning::Commit)
}

/// The newest release of a major version; a pre-release only where there is nothing else.
fn newest(refs: &[Ref], major: u64) -> Option<Oid> {
    refs.iter()
        .filter_map(|r| {
            let version = semver(r.name.strip_prefix("refs/tags/")?)?;
            (version.numbers.0 == major).then_some((version, r.target()))
        })
        .max_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, oid)| oid)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Semver<'a> {
    released: bool,
    numbers: (u64, u64, u64),
    pre: &'a str,
}

/// `v1.2.3` or `v1.2.3-pre`, as Go writes them.
fn semver(text: &str) -> Option<Semver<'_>> {
    let (core, pre) = text.strip_prefix('v')?.split_once('-').unwrap_or((&text[1..], ""));
    let core = core.split('+').next()?;
    let mut parts = core.split('.').map(|n| n.parse::<u64>().ok());
    let numbers = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() {
        return None;
    }
    Some(Semver { released: pre.is_empty(), numbers, pre })
}

/// The major version that a path element or a version stands for: `v3` and `v3.1.0` are 3.
pub(super) fn major(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('v')?;
    let digits = digits.split('.').next()?;
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&n| n >= 2)
}

/// The 12 hex digits that end a pseudo-version: `v0.0.0-20171122090728-e5eae5659af2`.
pub(super) fn pseudo_commit(version: &str) -> Option<&str> {
    let version = version.strip_suffix("+incompatible").unwrap_or(version);
    semver(version)?;
    let (head, commit) = version.rsplit_once('-')?;
    let time = head.rsplit(['-', '.']).next()?;
    let fits = commit.len() == 12
        && is_hex(commit)
        && time.len() == 14
        && time.bytes().all(|b| b.is_ascii_digit());
    fits.then_some(commit)
}

/// Whether a text can be a commit's beginning.
pub(super) fn is_abbreviation(text: &str) -> bool {
    (7..=40).contains(&text.len()) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(digit: char) -> Oid {
        Oid::from_str(&digit.to_string().repeat(40)).unwrap()
    }

    fn r(name: &str, digit: char) -> Ref {
        Ref { name: name.into(), oid: oid(digit), peeled: None }
    }

    #[test]
    fn a_version_is_read_for_what_it_is() {
        let name = |n: &str| VersionQuery::Name(n.into());
        for (version, want) in [
            (None, VersionQuery::Default),
            (Some("v1.2.3"), name("v1.2.3")),
            (Some("v2.0.0+incompatible"), name("v2.0.0")),
            (Some("sub/v1.2.3"), name("sub/v1.2.3")),
            (Some("master"), name("master")),
            (Some("e5eae56"), name("e5eae56")),
            (Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), VersionQuery::Commit(oid('a'))),
            (
                Some("v0.0.0-20171122090728-e5eae5659af2"),
                VersionQuery::Abbreviated("e5eae5659af2".into()),
            ),
            (
                Some("v1.2.4-0.20171122090728-e5eae5659af2"),
                VersionQuery::Abbreviated("e5eae5659af2".into()),
            ),
            (
                Some("v2.0.1-pre.0.20171122090728-e5eae5659af2+incompatible"),
                VersionQuery::Abbreviated("e5eae5659af2".into()),
            ),
            (Some("v0.0.0-2017-e5eae5659af2"), name("v0.0.0-2017-e5eae5659af2")),
            (Some("x-20171122090728-e5eae5659af2"), name("x-20171122090728-e5eae5659af2")),
        ] {
            assert_eq!(VersionQuery::parse(version), want, "{version:?}");
        }
    }

    #[test]
    fn a_name_beats_a_commit_and_the_deepest_module_beats_the_root() {
        let refs = [
            r("HEAD", '1'),
            r("refs/heads/master", '1'),
            r("refs/tags/v1.2.3", '2'),
            r("refs/tags/sub/v1.2.3", '3'),
            r("refs/heads/2222222", '4'),
            r("refs/heads/both", '5'),
            r("refs/tags/both", '6'),
            r("refs/tags/v3.9.0", '7'),
            r("refs/tags/v3.10.0", '8'),
            r("refs/tags/v3.11.0-rc1", '9'),
            r("refs/tags/v4.0.0-rc2", 'a'),
        ];
        let commit = |digit| Meaning::Commit(oid(digit));
        let name = |n: &str| VersionQuery::Name(n.into());
        for (wanted, below, want) in [
            (VersionQuery::Default, "", commit('1')),
            (name("v1.2.3"), "", commit('2')),
            (name("v1.2.3"), "sub", commit('3')),
            (name("v1.2.3"), "sub/deep/er", commit('3')),
            (name("v1.2.3"), "other", commit('2')),
            (name("sub/v1.2.3"), "", commit('3')),
            (name("both"), "", commit('6')),
            (name("2222222"), "", commit('4')),
            (name("3333333"), "", commit('3')),
            (name("ABCDEF0"), "", Meaning::Search("abcdef0".into())),
            (name("nope"), "", Meaning::Missing),
            (name("v9.9.9"), "", Meaning::Missing),
            (VersionQuery::Abbreviated("2222222".into()), "", commit('2')),
            (VersionQuery::Major(3), "", commit('8')),
            (VersionQuery::Major(4), "", commit('a')),
            (VersionQuery::Major(5), "", Meaning::Missing),
        ] {
            assert_eq!(wanted.meaning(&refs, below), want, "{wanted:?} {below}");
        }
    }

    #[test]
    fn two_commits_with_one_beginning_are_ambiguous() {
        let mut other = oid('2').to_string();
        other.replace_range(39.., "3");
        let other = Ref { oid: Oid::from_str(&other).unwrap(), ..r("refs/heads/x", '2') };
        let refs = [r("refs/heads/master", '2'), other];
        assert_eq!(VersionQuery::parse(Some("2222222")).meaning(&refs, ""), Meaning::Ambiguous);
    }

    #[test]
    fn a_major_version_is_two_or_more() {
        for (text, want) in [
            ("v2", Some(2)),
            ("v12.1.0", Some(12)),
            ("v1", None),
            ("v0.3.0", None),
            ("v02", None),
            ("v", None),
            ("vx", None),
            ("2", None),
        ] {
            assert_eq!(major(text), want, "{text}");
        }
    }
}
