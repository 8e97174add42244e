//! Names of datasets and snapshots, parsed once.

use std::fmt;

/// The longest name that ZFS takes, in bytes, snapshots included.
const MAX_LENGTH: usize = 255;

/// A dataset's name: `zroot/jails/run`.
///
/// Stricter than ZFS, which also takes spaces: elements of ASCII letters, digits and `-_.:`, the
/// pool's beginning with a letter. No element is `.` or `..`, none begins with `-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatasetName(String);

/// A snapshot's name: `zroot/jails/releases/15.1-RELEASE@p1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotName(String);

/// A name that ZFS or this program does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of a {what}: {why}")]
pub struct NameError {
    what: &'static str,
    name: String,
    why: &'static str,
}

impl DatasetName {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse = |why| NameError { what: "dataset", name: text.to_owned(), why };
        if text.len() > MAX_LENGTH {
            return Err(refuse("names have at most 255 characters"));
        }
        if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return Err(refuse("a pool's name begins with a letter"));
        }
        for element in text.split('/') {
            check_element(element).map_err(refuse)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// The dataset of this name below this one.
    pub fn child(&self, element: &str) -> Result<Self, NameError> {
        check_element(element).map_err(|why| NameError {
            what: "dataset",
            name: element.to_owned(),
            why,
        })?;
        Self::parse(&format!("{}/{element}", self.0))
    }

    /// The snapshot of this name of this dataset.
    pub fn at(&self, snapshot: &str) -> Result<SnapshotName, NameError> {
        SnapshotName::parse(&format!("{}@{snapshot}", self.0))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last element.
    pub fn element(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The dataset that it lies in; none for a pool's own.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The pool that it lies in.
    pub fn pool(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// Whether it lies below that one, at any depth.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl SnapshotName {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse = |why| NameError { what: "snapshot", name: text.to_owned(), why };
        let (dataset, snapshot) =
            text.split_once('@').ok_or_else(|| refuse("write DATASET@SNAPSHOT"))?;
        DatasetName::parse(dataset).map_err(|error| refuse(error.why))?;
        check_element(snapshot).map_err(refuse)?;
        if text.len() > MAX_LENGTH {
            return Err(refuse("names have at most 255 characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The dataset that it is a snapshot of.
    pub fn dataset(&self) -> DatasetName {
        DatasetName(self.0.split('@').next().unwrap_or_default().to_owned())
    }
}

fn check_element(element: &str) -> Result<(), &'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match element {
        "" => Err("an element is empty"),
        "." | ".." => Err("an element is . or .."),
        _ if element.starts_with('-') => Err("an element begins with -"),
        _ if !element.chars().all(legal) => {
            Err("use ASCII letters, digits and the characters -_.: between slashes")
        }
        _ => Ok(()),
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_names_are_read() {
        for name in ["zroot", "zroot/jails", "z/releases/15.1-RELEASE", "tank/a:b_c.d-e"] {
            assert_eq!(DatasetName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_could_mean_something_else_are_refused() {
        let long = format!("z/{}", "x".repeat(254));
        let bad = [
            "",
            "/zroot",
            "zroot/",
            "zroot//x",
            "zroot/..",
            "zroot/./x",
            "zroot/bad name",
            "zroot/bad@name",
            "zroot/bad#name",
            "zroot/50%",
            "-r",
            "zroot/-r",
            "1pool",
            "zröt",
            "zroot/a\nb",
            "zroot/a\0",
            &long,
        ];
        for name in bad {
            assert!(DatasetName::parse(name).is_err(), "{name:?}");
        }
        for name in ["zroot", "zroot@", "zroot@a@b", "zroot@a/b", "zroot@-r", "@p1"] {
            assert!(SnapshotName::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_child_is_one_element_further_and_lies_below() {
        let jails = DatasetName::parse("zroot/jails").unwrap();
        let run = jails.child("run").unwrap();
        assert!(jails.child("a/b").is_err() && jails.child("..").is_err());
        assert!(run.is_below(&jails) && !jails.is_below(&jails));
        assert!(!DatasetName::parse("zroot/jails2").unwrap().is_below(&jails));
        assert_eq!((run.element(), run.pool(), run.parent()), ("run", "zroot", Some(jails)));
    }
}
