//! The published sums of archives: FreeBSD's MANIFEST, and Go's list of releases.

use serde::Deserialize;

use super::checksum::Sha256;
use super::names::{GoVersion, Machine, SetName};

/// The sums of a release's distribution sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest(Vec<(SetName, Sha256)>);

/// Why a MANIFEST cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A line cannot be read.
    #[error(
        "line {0} does not have the fields of a MANIFEST: archive, SHA-256 sum, number of files, name, ... between tabs"
    )]
    Line(usize),
    /// There are no lines.
    #[error("the MANIFEST is empty")]
    Empty,
    /// The set is not in the MANIFEST.
    #[error("the MANIFEST has no {wanted}; base_packages can have: {known}")]
    Unknown {
        /// The set.
        wanted: SetName,
        /// The sets that the MANIFEST has.
        known: String,
    },
}

impl Manifest {
    /// Reads a MANIFEST: a line for each archive, fields between tabs.
    pub(super) fn parse(text: &str) -> Result<Self, ManifestError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let sets: Vec<_> = lines
            .map(|(index, line)| entry(line).ok_or(ManifestError::Line(index + 1)))
            .collect::<Result<_, _>>()?;
        if sets.is_empty() { Err(ManifestError::Empty) } else { Ok(Self(sets)) }
    }

    /// The sum of a set's archive.
    pub(super) fn sum(&self, set: &SetName) -> Result<&Sha256, ManifestError> {
        self.0.iter().find(|(name, _)| name == set).map(|(_, sum)| sum).ok_or_else(|| {
            let known: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
            ManifestError::Unknown { wanted: set.clone(), known: known.join(", ") }
        })
    }
}

fn entry(line: &str) -> Option<(SetName, Sha256)> {
    let mut fields = line.split('\t');
    let (archive, sum, count) = (fields.next()?, fields.next()?, fields.next()?);
    let set = archive.strip_suffix(".txz")?;
    count.trim().parse::<u64>().ok()?;
    Some((SetName::parse(set).ok()?, Sha256::parse(sum.trim()).ok()?))
}

/// The sum of a release's archive in the list that go.dev publishes; none where the text is no such
/// list, or does not have the archive.
pub(super) fn sum_in_releases(text: &str, version: &GoVersion, machine: Machine) -> Option<Sha256> {
    #[derive(Deserialize)]
    struct Release {
        version: String,
        files: Vec<Archive>,
    }
    #[derive(Deserialize)]
    struct Archive {
        filename: String,
        sha256: String,
    }
    let releases: Vec<Release> = serde_json::from_str(text).ok()?;
    let release =
        releases.iter().find(|r| r.version.strip_prefix("go") == Some(version.as_str()))?;
    let name = version.archive(machine);
    let archive = release.files.iter().find(|archive| archive.filename == name)?;
    Sha256::parse(&archive.sha256).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_manifest_has_the_sums_of_its_archives() {
        let other = "1".repeat(64);
        let text = format!(
            "base-dbg.txz\t{other}\t2120\tbase_dbg\t\"Base system (Debugging)\"\toff\n\
             base.txz\t{SUM}\t30211\tbase\t\"Base system (MANDATORY)\"\ton\n"
        );
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!(manifest.sum(&SetName::base()).unwrap().to_string(), SUM);
        let error = manifest.sum(&SetName::parse("lib32").unwrap()).unwrap_err().to_string();
        assert_eq!(error, "the MANIFEST has no lib32; base_packages can have: base-dbg, base");
    }

    #[test]
    fn what_is_no_manifest_is_refused_by_its_line() {
        let good = format!("base.txz\t{SUM}\t3\tbase\t\"x\"\ton\n");
        let bad = [
            "<html>".to_owned(),
            format!("base.txz {SUM} 3"),
            format!("../base.txz\t{SUM}\t3"),
            format!("base.txz\t{}\t3", &SUM[1..]),
            format!("base.txz\t{SUM}\tmany"),
        ];
        for line in bad {
            let text = format!("{good}{line}\n");
            assert_eq!(Manifest::parse(&text), Err(ManifestError::Line(2)), "{line}");
        }
        assert_eq!(Manifest::parse("\n"), Err(ManifestError::Empty));
    }

    #[test]
    fn a_release_of_go_is_found_in_the_published_list() {
        let text = format!(
            r#"[{{"version": "go1.26.7", "stable": true, "files": [
                {{"filename": "go1.26.7.src.tar.gz", "os": "", "arch": "", "version": "go1.26.7",
                  "sha256": "", "size": 34000000, "kind": "source"}},
                {{"filename": "go1.26.7.freebsd-amd64.tar.gz", "os": "freebsd", "arch": "amd64",
                  "version": "go1.26.7", "sha256": "{SUM}", "size": 64000000, "kind": "archive"}}]}},
              {{"version": "go1.26.6", "stable": true, "files": []}}]"#
        );
        let find = |text: &str, version: &str, arch: &str| {
            let version = GoVersion::parse(version).unwrap();
            sum_in_releases(text, &version, Machine::of(arch).unwrap())
        };
        assert_eq!(find(&text, "1.26.7", "x86_64").unwrap().to_string(), SUM);
        assert_eq!(find(&text, "1.26.7", "aarch64"), None);
        assert_eq!(find(&text, "1.26.6", "x86_64"), None);
        assert_eq!(find(&text, "1.2", "x86_64"), None);
        assert_eq!(find("<html>", "1.26.7", "x86_64"), None);
    }
}
