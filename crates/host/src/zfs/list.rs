//! The output of `zfs list`.

use std::path::PathBuf;

use crate::exec::Command;
use crate::zfs::name::{DatasetName, SnapshotName};

/// A file system or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Which of the two, and its name.
    pub kind: DatasetKind,
    /// The bytes that destroying it would free.
    pub used: u64,
    /// Bytes that it could still take; none for a snapshot.
    pub available: Option<u64>,
    /// Where it is mounted, or would be; none for a snapshot, or where it has none.
    pub mountpoint: Option<PathBuf>,
    /// The snapshot that it is a clone of.
    pub origin: Option<SnapshotName>,
}

/// A file system or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetKind {
    /// A file system.
    Filesystem(DatasetName),
    /// A snapshot.
    Snapshot(SnapshotName),
}

impl Dataset {
    /// Its name, where it is a file system.
    pub fn filesystem(&self) -> Option<&DatasetName> {
        match &self.kind {
            DatasetKind::Filesystem(name) => Some(name),
            DatasetKind::Snapshot(_) => None,
        }
    }

    /// Its name, where it is a snapshot.
    pub fn snapshot(&self) -> Option<&SnapshotName> {
        match &self.kind {
            DatasetKind::Snapshot(name) => Some(name),
            DatasetKind::Filesystem(_) => None,
        }
    }
}

/// The command whose output [`parse`] reads; what to list goes at its end.
pub(super) fn command() -> Command {
    Command::program("zfs").args([
        "list",
        "-H",
        "-p",
        "-o",
        "name,type,used,available,mountpoint,origin",
        "-t",
        "filesystem,snapshot",
    ])
}

/// Lines of six fields between tabs. A line with a name that [`DatasetName`] does not accept, with
/// a space for example, is left out.
pub(super) fn parse(text: &str) -> Vec<Dataset> {
    text.lines().filter_map(line).collect()
}

/// The names on the lines that [`parse`] leaves out.
pub(super) fn foreign(text: &str) -> Vec<String> {
    let names = text.lines().filter(|text| line(text).is_none());
    names.map(|text| text.split('\t').next().unwrap_or(text).to_owned()).collect()
}

fn line(text: &str) -> Option<Dataset> {
    let fields: Vec<&str> = text.split('\t').collect();
    let [name, kind, used, available, mountpoint, origin] = fields[..] else { return None };
    let kind = match kind {
        "filesystem" => DatasetKind::Filesystem(DatasetName::parse(name).ok()?),
        "snapshot" => DatasetKind::Snapshot(SnapshotName::parse(name).ok()?),
        _ => return None,
    };
    Some(Dataset {
        kind,
        used: used.parse().ok()?,
        available: available.parse().ok(),
        mountpoint: mountpoint.starts_with('/').then(|| mountpoint.into()),
        origin: SnapshotName::parse(origin).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_its_clones_and_snapshots() {
        let text = "zroot/jails\tfilesystem\t98304\t5720754176\t/zroot/jails\t-\n\
            zroot/jails/rel@p1\tsnapshot\t0\t-\t-\t-\n\
            zroot/jails/run/a\tfilesystem\t1\t2\tlegacy\tzroot/jails/rel@p1\n\
            zroot/with space\tfilesystem\t1\t2\t/zroot/with space\t-\n";
        let found = parse(text);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].mountpoint.as_deref(), Some("/zroot/jails".as_ref()));
        assert_eq!(found[0].available, Some(5_720_754_176));
        assert_eq!(found[1].snapshot().unwrap().as_str(), "zroot/jails/rel@p1");
        assert_eq!(found[2].origin.as_ref(), found[1].snapshot());
        assert_eq!((found[2].mountpoint.as_ref(), found[1].available), (None, None));
        assert_eq!(foreign(text), ["zroot/with space"]);
    }
}
