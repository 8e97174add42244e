//! The mark that `init` puts on each dataset that it makes: a user property.
//!
//! Invariants: a dataset was made by `init` if its mark names the part that the dataset's name
//! belongs to. A dataset that was made by hand below one of them inherits a mark, but of another
//! part.

use std::fmt;

use host::layout::Layout;
use host::zfs::DatasetName;

/// The property.
pub(super) const PROPERTY: &str = "sky-island:made";

/// The use of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Jails,
    Releases,
    Artifacts,
    Run,
    Base,
    Build,
}

/// How much of a dataset is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PartStage {
    /// The dataset exists.
    Begun,
    /// The archives are extracted.
    Extracted,
    /// The updates of the release are installed.
    Updated,
    /// Only the snapshot and the final name are missing.
    Ready,
}

/// The use of a dataset, how much of it is done, and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) part: Part,
    pub(super) stage: PartStage,
    /// The sets of a base system, the Go version of a build jail; empty for the others.
    pub(super) of: String,
}

const PARTS: [(Part, &str); 6] = [
    (Part::Jails, "jails"),
    (Part::Releases, "releases"),
    (Part::Artifacts, "artifacts"),
    (Part::Run, "run"),
    (Part::Base, "base"),
    (Part::Build, "build"),
];

const STAGES: [(PartStage, &str); 4] = [
    (PartStage::Begun, "begun"),
    (PartStage::Extracted, "extracted"),
    (PartStage::Updated, "updated"),
    (PartStage::Ready, "ready"),
];

impl Part {
    /// The datasets that contain others.
    pub(super) const HOLDERS: [Self; 4] = [Self::Jails, Self::Releases, Self::Artifacts, Self::Run];

    /// The name of the finished dataset.
    pub(super) fn dataset(self, layout: &Layout) -> DatasetName {
        match self {
            Self::Jails => layout.jails(),
            Self::Releases => layout.releases(),
            Self::Artifacts => layout.artifacts(),
            Self::Run => layout.run(),
            Self::Base => layout.base(),
            Self::Build => layout.build(),
        }
    }

    /// The name of the dataset while it is made.
    pub(super) fn unfinished(self, layout: &Layout) -> DatasetName {
        let finished = self.dataset(layout);
        let name = format!("{}.part", finished.element());
        // The layout has checked names of that length.
        finished
            .parent()
            .and_then(|parent| parent.child(&name).ok())
            .unwrap_or_else(|| unreachable!("{finished}.part is no name"))
    }
}

impl Mark {
    /// The mark of a dataset that contains others.
    pub(super) fn holder(part: Part) -> Self {
        Self { part, stage: PartStage::Ready, of: String::new() }
    }

    /// Reads a mark; none where `init` did not write the text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(3, ':');
        let name = fields.next()?;
        let part = PARTS.iter().find(|(_, text)| *text == name)?.0;
        let Some(stage) = fields.next() else {
            return Part::HOLDERS.contains(&part).then(|| Self::holder(part));
        };
        let stage = STAGES.iter().find(|(_, text)| *text == stage)?.0;
        Some(Self { part, stage, of: fields.next()?.to_owned() })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PARTS.iter().find(|(part, _)| part == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.part)?;
        if Part::HOLDERS.contains(&self.part) {
            return Ok(());
        }
        let stage = STAGES.iter().find(|(stage, _)| *stage == self.stage).map_or("", |(_, s)| s);
        write!(f, ":{stage}:{}", self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::layout::Release;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for (part, _) in PARTS {
            for (stage, _) in STAGES {
                let mark = if Part::HOLDERS.contains(&part) {
                    Mark::holder(part)
                } else {
                    Mark { part, stage, of: "base+lib32".into() }
                };
                assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
            }
        }
        for bad in ["", "yes", "base", "base:ready", "base:done:base", "jail", "base:ready "] {
            assert_eq!(Mark::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_unfinished_dataset_lies_beside_the_finished_one() {
        let release = Release::parse("15.1-RELEASE").unwrap();
        let layout = Layout::new("zroot", None, release).unwrap();
        let unfinished = |part: Part| part.unfinished(&layout).to_string();
        assert_eq!(unfinished(Part::Base), "zroot/jails/releases/15.1-RELEASE.part");
        assert_eq!(unfinished(Part::Build), "zroot/jails/build.part");
    }
}
