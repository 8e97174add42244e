//! `destroy`: removes what `init` made, and what the server made below it.
//!
//! Invariants: the plan is complete before anything is removed, and names each dataset and each
//! snapshot; nothing is removed recursively. One dataset, clone or file that was made otherwise,
//! and nothing is removed.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use host::exec::Command;
use host::layout::Layout;
use host::zfs::{Dataset, DatasetName, SnapshotName};

use super::host_lock::{HostLock, no_server};
use super::mark::{Mark, Part};
use crate::init::error::InitError;
use crate::init::{Init, facts};

/// How long a busy dataset is waited for: the last connections of a jail may use it.
const BUSY: Duration = Duration::from_secs(5);

/// One removal of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A dataset without children and snapshots.
    Dataset(DatasetName),
    /// A snapshot without clones.
    Snapshot(SnapshotName),
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset(name) => write!(f, "dataset  {name}"),
            Self::Snapshot(name) => write!(f, "snapshot {name}"),
        }
    }
}

impl Init {
    /// What [`destroy`](Self::destroy) would remove now, in that order; empty where `init` made
    /// nothing.
    pub async fn removals(&self) -> Result<Vec<Removal>, InitError> {
        let layout = &self.wanted.layout;
        let jails = layout.jails();
        let ours = self.zfs.tree(&jails).await?;
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        // All kinds of datasets, also ones whose names cannot be parsed.
        let list = Command::program("zfs")
            .args(["list", "-H", "-o", "name", "-t", "all", "-r"])
            .arg(jails.as_str());
        let failed = InitError::command("the datasets cannot be listed");
        let names = self.command(&list).await.map_err(failed)?;
        let pool = DatasetName::parse(jails.pool()).unwrap_or(jails);
        let all = self.zfs.tree(&pool).await?;
        let marks = facts::marks(&self.zfs, layout).await?;
        let plan =
            plan(layout, &names, &all, &marks).map_err(|o| InitError::Others(o.join(", ")))?;
        let files = files(layout, &plan)?;
        if files.is_empty() { Ok(plan) } else { Err(InitError::Others(files.join(", "))) }
    }

    /// Removes everything that `init` made and what the server made below it, and nothing else.
    pub async fn destroy(&self) -> Result<(), InitError> {
        self.check_user()?;
        let _held = HostLock::take(&self.wanted.lock)?;
        let _state = no_server(&self.wanted.state_dir)?;
        let removals = self.removals().await?;
        if removals.is_empty() {
            self.progress.say("there is nothing to remove: init made nothing on this host");
            return Ok(());
        }
        self.no_jails().await?;
        for removal in removals {
            self.progress.say(&format!("removing {removal}"));
            self.remove_when_free(&removal, BUSY).await?;
        }
        // ZFS removes inherited mount points. One that was set stays as an empty folder.
        let folder = self.wanted.layout.folder();
        match std::fs::remove_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(InitError::file("remove", folder)(error))
            }
            _ => Ok(()),
        }
    }

    async fn no_jails(&self) -> Result<(), InitError> {
        let folder = self.wanted.layout.folder();
        let command = Command::program("jls").args(["--libxo=json", "-n"]);
        let what = "the jails cannot be listed";
        let text = self.command(&command).await.map_err(InitError::command(what))?;
        let names = jails_below(&text, folder).ok_or(InitError::Listing)?;
        if names.is_empty() {
            return Ok(());
        }
        Err(InitError::Jails { folder: folder.to_owned(), names: names.join(", ") })
    }
}

/// The removals in their order, or the names of datasets that were made otherwise. `names` has all
/// names in the jails dataset, a line each; `all` is the whole pool.
fn plan(
    layout: &Layout,
    names: &str,
    all: &[Dataset],
    marks: &HashMap<DatasetName, Mark>,
) -> Result<Vec<Removal>, Vec<String>> {
    let jails = layout.jails();
    let mut going: Vec<(u8, &DatasetName)> = all
        .iter()
        .filter_map(|dataset| Some((rank(layout, dataset, marks)?, dataset.filesystem()?)))
        .collect();
    going.sort();
    let is_going = |name: &str| going.iter().any(|(_, going)| going.as_str() == name);
    let own = |line: &str| is_going(line.split(['@', '#']).next().unwrap_or_default());
    let mut others: Vec<_> = names.lines().filter(|line| !own(line)).map(str::to_owned).collect();
    for dataset in all {
        let outside = dataset.filesystem().filter(|name| **name != jails && !name.is_below(&jails));
        if let (Some(name), Some(origin)) = (outside, &dataset.origin)
            && is_going(origin.dataset().as_str())
        {
            others.push(format!("{name} (a clone of {origin})"));
        }
    }
    if !others.is_empty() {
        return Err(others);
    }
    let snapshots_of = |name: &DatasetName| {
        let snapshots = all.iter().filter_map(Dataset::snapshot);
        let of = snapshots.filter(|snapshot| snapshot.dataset() == *name);
        of.cloned().map(Removal::Snapshot).collect::<Vec<_>>()
    };
    let removals = going.into_iter().flat_map(|(_, name)| {
        let mut removals = snapshots_of(name);
        removals.push(Removal::Dataset(name.clone()));
        removals
    });
    Ok(removals.collect())
}

/// The rank of a dataset in the order of removals: clones before their origins, children before
/// parents; none where neither `init` nor the server made the dataset.
fn rank(layout: &Layout, dataset: &Dataset, marks: &HashMap<DatasetName, Mark>) -> Option<u8> {
    let name = dataset.filesystem()?;
    let part = marks.get(name).map(|mark| mark.part);
    if let Some(holder) = Part::HOLDERS.into_iter().find(|part| part.dataset(layout) == *name) {
        let last = if holder == Part::Jails { 6 } else { 5 };
        return (part == Some(holder)).then_some(last);
    }
    let parent = name.parent()?;
    // The server makes clones; a dataset that was made by hand is none.
    let cloned = dataset.origin.as_ref().is_some_and(|o| o.dataset().is_below(&layout.jails()));
    if parent == layout.run() && cloned {
        return Some(1);
    }
    if parent == layout.artifacts() && cloned {
        return Some(2);
    }
    let build = [Part::Build.dataset(layout), Part::Build.unfinished(layout)];
    if build.contains(name) && part == Some(Part::Build) {
        return Some(3);
    }
    (parent == layout.releases() && part == Some(Part::Base)).then_some(4)
}

/// Files in the folders of the datasets that contain others, which neither `init` nor the server
/// made.
fn files(layout: &Layout, plan: &[Removal]) -> Result<Vec<String>, InitError> {
    let folders: Vec<_> = plan
        .iter()
        .filter_map(|removal| match removal {
            Removal::Dataset(name) => layout.folder_of(name),
            Removal::Snapshot(_) => None,
        })
        .collect();
    let downloads = layout.folder().join("releases/downloads");
    let mut others = Vec::new();
    for holder in Part::HOLDERS.map(|part| part.dataset(layout)) {
        let Some(folder) = layout.folder_of(&holder).filter(|folder| folders.contains(folder))
        else {
            continue;
        };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(InitError::file("read", folder)(error)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path != downloads && !folders.contains(&path) && !is_empty_folder(&path) {
                others.push(path.display().to_string());
            }
        }
    }
    Ok(others)
}

/// Whether a path is an empty folder, as an unmounted dataset leaves one.
fn is_empty_folder(path: &Path) -> bool {
    let plain = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    plain && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// The names of the jails whose roots lie in a folder, from the output of `jls --libxo=json -n`;
/// none where that is no list.
fn jails_below(text: &str, folder: &Path) -> Option<Vec<String>> {
    let said: serde_json::Value = serde_json::from_str(text).ok()?;
    let jails = said.get("jail-information")?.get("jail")?.as_array()?;
    let below = jails.iter().filter(|jail| {
        jail["path"].as_str().is_none_or(|path| Path::new(path).starts_with(folder))
    });
    Some(below.map(|jail| jail["name"].as_str().unwrap_or("?").to_owned()).collect())
}

#[cfg(test)]
#[path = "destroy_tests.rs"]
mod tests;
