//! The mark of what init made: one user property on each of its datasets.
//!
//! What must always hold: a dataset is ours if its mark names the part that belongs in its place. A dataset that
//! somebody made below one of ours inherits that one's mark, which is another part's.

use std::fmt;

use host::layout::Layout;
use host::zfs::DatasetName;

/// The property.
pub(super) const PROPERTY: &str = "sky-island:made";

/// What a dataset is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Jails,
    Releases,
    Artifacts,
    Run,
    Base,
    Build,
}

/// How far a dataset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It is there.
    Begun,
    /// Its archives are extracted.
    Extracted,
    /// It has the release's updates.
    Updated,
    /// Only its snapshot and its name are missing.
    Ready,
}

/// What a dataset is for, how far it is, and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) part: Part,
    pub(super) stage: Stage,
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

const STAGES: [(Stage, &str); 4] = [
    (Stage::Begun, "begun"),
    (Stage::Extracted, "extracted"),
    (Stage::Updated, "updated"),
    (Stage::Ready, "ready"),
];

impl Part {
    /// The datasets that hold others.
    pub(super) const HOLDERS: [Self; 4] = [Self::Jails, Self::Releases, Self::Artifacts, Self::Run];

    /// Its dataset when it is finished.
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

    /// Its dataset while it is made.
    pub(super) fn unfinished(self, layout: &Layout) -> DatasetName {
        let finished = self.dataset(layout);
        let name = format!("{}.part", finished.element());
        // No longer than the names that the layout has tried.
        finished
            .parent()
            .and_then(|parent| parent.child(&name).ok())
            .unwrap_or_else(|| unreachable!("{finished}.part is no name"))
    }
}

impl Mark {
    /// The mark of a dataset that only holds others.
    pub(super) fn holder(part: Part) -> Self {
        Self { part, stage: Stage::Ready, of: String::new() }
    }

    /// Reads a mark; none where it is none of ours.
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
    fn what_is_unfinished_lies_beside_what_is_finished() {
        let release = Release::parse("15.1-RELEASE").unwrap();
        let layout = Layout::new("zroot", None, release).unwrap();
        let unfinished = |part: Part| part.unfinished(&layout).to_string();
        assert_eq!(unfinished(Part::Base), "zroot/jails/releases/15.1-RELEASE.part");
        assert_eq!(unfinished(Part::Build), "zroot/jails/build.part");
    }
}
