//! The steps of preparing a host, in their order.

use super::desired::DesiredState;

/// One step. Its result is something that can be seen, so that it is skipped where that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Jails,
    Releases,
    Artifacts,
    Run,
    FetchSets,
    ExtractSets,
    Update,
    Settings,
    FinishBase,
    FetchGo,
    ExtractGo,
    Workspace,
    FinishBuild,
    Tidy,
}

/// The steps that lead to what is wanted.
pub(super) fn plan(wanted: &DesiredState) -> Vec<Step> {
    let all = [
        Step::Jails,
        Step::Releases,
        Step::Artifacts,
        Step::Run,
        Step::FetchSets,
        Step::ExtractSets,
        Step::Update,
        Step::Settings,
        Step::FinishBase,
        Step::FetchGo,
        Step::ExtractGo,
        Step::Workspace,
        Step::FinishBuild,
        Step::Tidy,
    ];
    all.into_iter().filter(|step| wanted.update || *step != Step::Update).collect()
}

impl Step {
    /// What the step leads to, for people.
    pub(super) fn title(self, wanted: &DesiredState) -> String {
        let layout = &wanted.layout;
        let (release, go) = (layout.release(), &wanted.go.version);
        match self {
            Self::Jails => {
                format!("dataset {}, mounted at {}", layout.jails(), layout.folder().display())
            }
            Self::Releases => format!("dataset {}", layout.releases()),
            Self::Artifacts => format!("dataset {}", layout.artifacts()),
            Self::Run => format!("dataset {}", layout.run()),
            Self::FetchSets => format!("archives of {release}: {}", wanted.sets_text()),
            Self::ExtractSets => format!("base system {release} extracted"),
            Self::Update => format!("base system {release} updated by freebsd-update"),
            Self::Settings => "base system's resolv.conf and localtime".to_owned(),
            Self::FinishBase => format!("snapshot {}", layout.base_snapshot()),
            Self::FetchGo => format!("archive of Go {go}"),
            Self::ExtractGo => format!("build jail with Go {go}"),
            Self::Workspace => "build jail's Go workspace".to_owned(),
            Self::FinishBuild => format!("snapshot {}", layout.build_snapshot()),
            Self::Tidy => "downloads removed".to_owned(),
        }
    }
}
