//! The build jail: a clone of the base system with Go, a Go workspace, and its snapshot.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::zfs::DatasetName;

use super::base::read_small;
use super::checksum::Sha256;
use super::destroy::Removal;
use super::facts::Facts;
use super::manifest::sum_in_releases;
use super::mark::{Mark, PROPERTY, Part, PartStage};
use crate::init::error::InitError;
use crate::init::{Init, WORKSPACE};

/// How long a dataset is waited for that a command of an earlier run still uses.
const BUSY: Duration = Duration::from_secs(120);
/// The folders of a Go workspace.
const FOLDERS: [&str; 4] = ["", "bin", "pkg", "src"];
/// The user of a clone of the build jail has an id that is not known here.
const OPEN: u32 = 0o777;

impl Init {
    /// Downloads Go's archive.
    pub(super) async fn fetch_go(&self) -> Result<(), InitError> {
        let wanted = &self.wanted;
        if let Some(archive) = &wanted.go.archive {
            let missing = std::io::ErrorKind::NotFound.into();
            return Err(InitError::file("find go_tarball:", archive)(missing));
        }
        self.make_downloads().await?;
        let url = wanted.go.mirror.go_archive(&wanted.go.version, wanted.machine);
        let sum = self.go_sum().await?;
        self.download(url, &wanted.go_archive(), sum).await
    }

    /// Makes the build jail beside the finished one, and extracts Go into it.
    pub(super) async fn extract_go(&self, facts: &Facts) -> Result<(), InitError> {
        let (wanted, name) = (&self.wanted, Part::Build.unfinished(&self.wanted.layout));
        if facts.dataset(&name).is_some() {
            self.remove_unfinished(facts, Part::Build).await?;
        }
        let sum = self.go_sum().await?;
        let path = wanted.go_archive();
        let archive = self.checked(&path, &sum).await?;
        let mark = self.build_mark(PartStage::Begun).to_string();
        self.zfs.clone(&wanted.layout.base_snapshot(), &name, &[(PROPERTY, mark.as_str())]).await?;
        self.check_mounted(&name).await?;
        let local = self.folder_of(&name).join("usr/local");
        std::fs::create_dir_all(&local).map_err(InitError::file("make", &local))?;
        self.extract(archive, &path, &local).await?;
        self.check_go(&local.join("go"), path)?;
        self.mark(&name, &self.build_mark(PartStage::Extracted)).await
    }

    /// Fails unless the archive had the configured Go, for this machine.
    fn check_go(&self, goroot: &Path, archive: PathBuf) -> Result<(), InitError> {
        let text = read_small(&goroot.join("VERSION")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let found = text.lines().next().unwrap_or_default().trim();
        let wanted = &self.wanted.go.version;
        let system = format!("freebsd_{}", self.wanted.machine.go);
        let found = match found.strip_prefix("go") {
            Some(version) if version != wanted.as_str() => format!("Go {version}"),
            Some(_) if !goroot.join("pkg/tool").join(&system).is_dir() => {
                format!("no Go for {system}")
            }
            Some(_) => return Ok(()),
            None => "no Go".to_owned(),
        };
        Err(InitError::Go { archive, found, wanted: wanted.clone() })
    }

    /// Makes the workspace.
    pub(super) async fn make_workspace(&self) -> Result<(), InitError> {
        let name = Part::Build.unfinished(&self.wanted.layout);
        self.check_mounted(&name).await?;
        let workspace = self.folder_of(&name).join(WORKSPACE.trim_start_matches('/'));
        for folder in FOLDERS {
            let path = workspace.join(folder);
            std::fs::create_dir_all(&path)
                .and_then(|()| {
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(OPEN))
                })
                .map_err(InitError::file("make", path))?;
        }
        self.mark(&name, &self.build_mark(PartStage::Ready)).await
    }

    /// Makes the snapshot and gives the build jail its name.
    pub(super) async fn finish_build(&self, facts: &Facts) -> Result<(), InitError> {
        self.finish(facts, Part::Build).await
    }

    /// The sum that Go's archive must have: the configured one, the one in a file beside an archive
    /// on this host, the one in this program, or the published one.
    async fn go_sum(&self) -> Result<Sha256, InitError> {
        let (go, machine) = (&self.wanted.go, self.wanted.machine);
        if let Some(sum) = &go.sum {
            return Ok(sum.clone());
        }
        if let Some(archive) = &go.archive {
            let mut beside = archive.clone().into_os_string();
            beside.push(".sha256");
            let name = archive.file_name().unwrap_or_default().to_string_lossy();
            let text = read_small(Path::new(&beside)).unwrap_or_default();
            if let Some(sum) = Sha256::in_list(&String::from_utf8_lossy(&text), &name) {
                return Ok(sum);
            }
        }
        if let Some(sum) = go.pinned(machine) {
            return Ok(sum);
        }
        if let Some(text) = self.text(&go.mirror.go_releases()).await?
            && let Some(sum) = sum_in_releases(&text, &go.version, machine)
        {
            return Ok(sum);
        }
        // A mirror of files has the sums beside the archives.
        let beside = format!("{}.sha256", go.mirror.go_archive(&go.version, machine));
        let text = self.text(&beside).await?.unwrap_or_default();
        Sha256::in_list(&text, &go.version.archive(machine))
            .ok_or_else(|| InitError::NoSum(go.version.clone()))
    }

    fn build_mark(&self, stage: PartStage) -> Mark {
        Mark { part: Part::Build, stage, of: self.wanted.go.version.to_string() }
    }

    /// Writes into the mark of a dataset how much of it is done.
    pub(super) async fn mark(&self, name: &DatasetName, mark: &Mark) -> Result<(), InitError> {
        Ok(self.zfs.set(name, &[(PROPERTY, mark.to_string().as_str())]).await?)
    }

    pub(super) fn folder_of(&self, name: &DatasetName) -> PathBuf {
        let folder = self.wanted.layout.folder_of(name);
        folder.unwrap_or_else(|| unreachable!("{name} is not in the layout"))
    }

    /// Makes the snapshot of a ready dataset and gives the dataset its name, which an older one may
    /// have.
    pub(super) async fn finish(&self, facts: &Facts, part: Part) -> Result<(), InitError> {
        let layout = &self.wanted.layout;
        let (from, to) = (part.unfinished(layout), part.dataset(layout));
        let finished =
            if part == Part::Base { layout.base_snapshot() } else { layout.build_snapshot() };
        let snapshot = from.at(snapshot_name(finished.as_str()));
        let snapshot = snapshot.unwrap_or_else(|error| unreachable!("{error}"));
        if !facts.has_snapshot(&snapshot) {
            self.zfs.snapshot(&snapshot).await?;
        }
        if facts.dataset(&to).is_some() {
            self.remove(facts, &to).await?;
        }
        Ok(self.zfs.rename(&from, &to).await?)
    }

    /// Removes the unfinished dataset of an earlier run.
    pub(super) async fn remove_unfinished(
        &self,
        facts: &Facts,
        part: Part,
    ) -> Result<(), InitError> {
        self.remove(facts, &part.unfinished(&self.wanted.layout)).await
    }

    /// Removes a dataset with its snapshots. Fails where another dataset depends on them.
    async fn remove(&self, facts: &Facts, name: &DatasetName) -> Result<(), InitError> {
        let snapshots = facts.tree.iter().filter_map(|dataset| dataset.snapshot());
        for snapshot in snapshots.filter(|snapshot| snapshot.dataset() == *name) {
            self.remove_when_free(&Removal::Snapshot(snapshot.clone()), BUSY).await?;
        }
        Ok(self.remove_when_free(&Removal::Dataset(name.clone()), BUSY).await?)
    }
}

fn snapshot_name(snapshot: &str) -> &str {
    snapshot.rsplit_once('@').map_or(snapshot, |(_, name)| name)
}
