//! What the host has already, and which steps are done. Looking runs a few commands; deciding runs
//! none.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;

use host::layout::Layout;
use host::zfs::{Dataset, DatasetName, SnapshotName, Zfs, ZfsError};

use super::desired::DesiredState;
use super::mark::{Mark, PROPERTY, Part, PartStage};
use super::steps::Step;

/// What the host has of the results of `init`.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The jails dataset and all below it.
    pub(super) tree: Vec<Dataset>,
    /// The marks of the datasets, their own or inherited.
    pub(super) marks: HashMap<DatasetName, Mark>,
    /// Only root can enter the folder of the jails.
    pub(super) private: bool,
    /// All archives of the base system and a MANIFEST are there.
    pub(super) sets: bool,
    /// Go's archive is there.
    pub(super) go: bool,
    /// There is a folder of downloads.
    pub(super) downloads: bool,
}

/// The marks of all datasets in the jails dataset, their own or inherited.
pub(super) async fn marks(
    zfs: &Zfs,
    layout: &Layout,
) -> Result<HashMap<DatasetName, Mark>, ZfsError> {
    let values = zfs.get_all(&layout.jails(), PROPERTY).await?;
    Ok(values.into_iter().filter_map(|(name, value)| Some((name, Mark::parse(&value)?))).collect())
}

impl Facts {
    /// Looks at the host.
    pub(super) async fn look(wanted: &DesiredState, zfs: &Zfs) -> Result<Self, ZfsError> {
        let layout = &wanted.layout;
        let tree = zfs.tree(&layout.jails()).await?;
        let mut facts = Self { tree, ..Self::default() };
        if !facts.tree.is_empty() {
            facts.marks = marks(zfs, layout).await?;
        }
        let mode = layout.folder().metadata().map(|metadata| metadata.permissions().mode());
        facts.private = mode.is_ok_and(|mode| mode & 0o077 == 0);
        facts.sets = wanted.manifest().is_file()
            && wanted.sets.iter().all(|set| wanted.set_archive(set).is_file());
        facts.go = wanted.go_archive().is_file();
        facts.downloads = wanted.downloads().exists();
        Ok(facts)
    }

    /// The dataset of this name.
    pub(super) fn dataset(&self, name: &DatasetName) -> Option<&Dataset> {
        self.tree.iter().find(|dataset| dataset.filesystem() == Some(name))
    }

    /// Whether a snapshot is there.
    pub(super) fn has_snapshot(&self, name: &SnapshotName) -> bool {
        self.tree.iter().any(|dataset| dataset.snapshot() == Some(name))
    }

    /// The mark of a dataset that `init` made for this part; none where there is no such dataset.
    pub(super) fn ours(&self, name: &DatasetName, part: Part) -> Option<&Mark> {
        self.marks.get(name).filter(|mark| mark.part == part)
    }

    /// A dataset that has the name of one that `init` makes, but was not made by `init`.
    pub(super) fn foreign(&self, wanted: &DesiredState) -> Option<DatasetName> {
        let layout = &wanted.layout;
        let holders = Part::HOLDERS.map(|part| (part.dataset(layout), part));
        let made = [Part::Base, Part::Build]
            .into_iter()
            .flat_map(|part| [(part.dataset(layout), part), (part.unfinished(layout), part)]);
        holders
            .into_iter()
            .chain(made)
            .find(|(name, part)| self.dataset(name).is_some() && self.ours(name, *part).is_none())
            .map(|(name, _)| name)
    }

    /// Whether a step's result is there.
    pub(super) fn done(&self, step: Step, wanted: &DesiredState) -> bool {
        let holder = |part: Part| self.ours(&part.dataset(&wanted.layout), part).is_some();
        match step {
            Step::Jails => holder(Part::Jails) && self.private,
            Step::Releases => holder(Part::Releases),
            Step::Artifacts => holder(Part::Artifacts),
            Step::Run => holder(Part::Run),
            Step::FetchSets => self.sets || self.base_reached(PartStage::Extracted, wanted),
            Step::ExtractSets => self.base_reached(PartStage::Extracted, wanted),
            Step::Update => self.base_reached(PartStage::Updated, wanted),
            Step::Settings => self.base_reached(PartStage::Ready, wanted),
            Step::FinishBase => self.base_finished(wanted),
            Step::FetchGo => self.go || self.build_reached(PartStage::Extracted, wanted),
            Step::ExtractGo => self.build_reached(PartStage::Extracted, wanted),
            Step::Workspace => self.build_reached(PartStage::Ready, wanted),
            Step::FinishBuild => self.build_finished(wanted),
            Step::Tidy => !self.downloads && self.unfinished(wanted).is_empty(),
        }
    }

    /// Whether the base system is finished.
    pub(super) fn base_finished(&self, wanted: &DesiredState) -> bool {
        let layout = &wanted.layout;
        let mark = self.ours(&layout.base(), Part::Base);
        mark.is_some_and(|mark| mark.stage == PartStage::Ready && mark.of == wanted.sets_text())
            && self.has_snapshot(&layout.base_snapshot())
    }

    /// The mark of the unfinished base system, where it has the desired sets.
    pub(super) fn base_part(&self, wanted: &DesiredState) -> Option<&Mark> {
        let name = Part::Base.unfinished(&wanted.layout);
        self.ours(&name, Part::Base).filter(|mark| mark.of == wanted.sets_text())
    }

    /// The parts of which there is an unfinished dataset.
    pub(super) fn unfinished(&self, wanted: &DesiredState) -> Vec<Part> {
        let there = |part: &Part| self.ours(&part.unfinished(&wanted.layout), *part).is_some();
        // The build jail first, for it may be a clone of the base system.
        [Part::Build, Part::Base].into_iter().filter(there).collect()
    }

    fn base_reached(&self, stage: PartStage, wanted: &DesiredState) -> bool {
        self.base_finished(wanted) || self.base_part(wanted).is_some_and(|mark| mark.stage >= stage)
    }

    /// Whether the build jail is finished, with the desired Go on the desired base system.
    pub(super) fn build_finished(&self, wanted: &DesiredState) -> bool {
        let layout = &wanted.layout;
        self.build_upon_base(&layout.build(), wanted)
            .is_some_and(|mark| mark.stage == PartStage::Ready)
            && self.has_snapshot(&layout.build_snapshot())
    }

    /// The mark of the unfinished build jail, where it has the desired Go on the desired base
    /// system.
    pub(super) fn build_part(&self, wanted: &DesiredState) -> Option<&Mark> {
        self.build_upon_base(&Part::Build.unfinished(&wanted.layout), wanted)
    }

    fn build_upon_base(&self, name: &DatasetName, wanted: &DesiredState) -> Option<&Mark> {
        let origin = self.dataset(name)?.origin.as_ref()?;
        let mark = self.ours(name, Part::Build)?;
        let good = *origin == wanted.layout.base_snapshot();
        (good && mark.of == wanted.go.version.as_str()).then_some(mark)
    }

    fn build_reached(&self, stage: PartStage, wanted: &DesiredState) -> bool {
        self.build_finished(wanted)
            || self.build_part(wanted).is_some_and(|mark| mark.stage >= stage)
    }
}
