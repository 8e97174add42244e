//! ZFS by its command: names, datasets, snapshots, clones, properties, and the meaning of its error
//! messages.
//!
//! Invariants: only parsed names reach a command; [`Why`] classifies the messages of zfs(8), and no
//! other code reads them. The messages and statuses are those of OpenZFS 2.2 to 2.4 with
//! `LC_ALL=C`.

mod list;
mod name;

pub use list::{Dataset, DatasetKind};
pub use name::{DatasetName, NameError, SnapshotName};

use crate::exec::Command;
use crate::exec::{ExecError, Shared};

/// Properties as they are given with `-o`, and user properties, as name and value.
pub type Properties<'a> = [(&'a str, &'a str)];

/// The zfs command of this host.
#[derive(Clone)]
pub struct Zfs {
    exec: Shared,
}

/// A failed command of zfs(8).
#[derive(Debug, thiserror::Error)]
#[error("{what} {name}: {why}")]
pub struct ZfsError {
    what: &'static str,
    name: String,
    /// The meaning of its message.
    pub why: Why,
    #[source]
    source: ExecError,
}

/// The meaning of an error message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The name exists.
    #[error("the dataset exists already")]
    Exists,
    /// The dataset, its parent, its origin or its pool does not exist.
    #[error("the dataset, its parent, its origin or its pool does not exist")]
    Missing,
    /// A process, a mount or a dying jail uses the dataset, perhaps for a moment only.
    #[error("the dataset is busy")]
    Busy,
    /// A snapshot has clones, or a dataset has children.
    #[error("clones or children depend on the dataset")]
    Depended,
    /// Only root, or a user with a delegated permission, may do that.
    #[error("not permitted; run as root")]
    Denied,
    /// The pool or a quota is full.
    #[error("the pool or a quota is full")]
    Full,
    /// The command is not there, or the kernel has no ZFS.
    #[error("this host has no ZFS")]
    Absent,
    /// Another message; the source has its text.
    #[error("the command failed")]
    Other,
}

impl Why {
    fn of(error: &ExecError) -> Self {
        let ExecError::Failed { .. } = error else {
            return if matches!(error, ExecError::Start { .. }) {
                Self::Absent
            } else {
                Self::Other
            };
        };
        const TEXTS: [(&str, Why); 16] = [
            ("dataset already exists", Why::Exists),
            ("snapshot has dependent clones", Why::Depended),
            ("filesystem has children", Why::Depended),
            ("filesystem has dependent clones", Why::Depended),
            ("has dependent clones", Why::Depended),
            ("is busy", Why::Busy),
            ("does not exist", Why::Missing),
            ("no such pool", Why::Missing),
            ("could not find any snapshots to destroy", Why::Missing),
            ("permission denied", Why::Denied),
            ("Permission denied", Why::Denied),
            ("out of space", Why::Full),
            ("Disc quota exceeded", Why::Full),
            ("Disk quota exceeded", Why::Full),
            ("ZFS modules", Why::Absent),
            ("/dev/zfs", Why::Absent),
        ];
        let message = error.stderr();
        TEXTS.iter().find(|(text, _)| message.contains(text)).map_or(Self::Other, |(_, why)| *why)
    }
}

impl Zfs {
    /// ZFS through these commands.
    pub fn new(exec: Shared) -> Self {
        Self { exec }
    }

    /// Makes a dataset. Its parent must exist.
    pub async fn create(&self, name: &DatasetName, with: &Properties<'_>) -> Result<(), ZfsError> {
        let command = options(zfs("create"), with).arg(name.as_str());
        self.quiet("create", name.as_str(), &command).await
    }

    /// Makes a snapshot.
    pub async fn snapshot(&self, name: &SnapshotName) -> Result<(), ZfsError> {
        self.quiet("snapshot", name.as_str(), &zfs("snapshot").arg(name.as_str())).await
    }

    /// Clones a snapshot to a new dataset.
    pub async fn clone(
        &self,
        origin: &SnapshotName,
        name: &DatasetName,
        with: &Properties<'_>,
    ) -> Result<(), ZfsError> {
        let command = options(zfs("clone"), with).arg(origin.as_str()).arg(name.as_str());
        self.quiet("clone", name.as_str(), &command).await
    }

    /// Gives a dataset another name below the same pool; its mount point follows.
    pub async fn rename(&self, from: &DatasetName, to: &DatasetName) -> Result<(), ZfsError> {
        let command = zfs("rename").arg(from.as_str()).arg(to.as_str());
        self.quiet("rename", from.as_str(), &command).await
    }

    /// Destroys a dataset that nothing depends on.
    pub async fn destroy(&self, name: &DatasetName) -> Result<(), ZfsError> {
        self.quiet("destroy", name.as_str(), &zfs("destroy").arg(name.as_str())).await
    }

    /// Destroys a dataset with its own snapshots and the datasets below it, but no clones that lie
    /// elsewhere.
    pub async fn destroy_tree(&self, name: &DatasetName) -> Result<(), ZfsError> {
        self.quiet("destroy", name.as_str(), &zfs("destroy").arg("-r").arg(name.as_str())).await
    }

    /// Destroys a snapshot that nothing depends on.
    pub async fn destroy_snapshot(&self, name: &SnapshotName) -> Result<(), ZfsError> {
        self.quiet("destroy", name.as_str(), &zfs("destroy").arg(name.as_str())).await
    }

    /// Mounts a dataset.
    pub async fn mount(&self, name: &DatasetName) -> Result<(), ZfsError> {
        self.quiet("mount", name.as_str(), &zfs("mount").arg(name.as_str())).await
    }

    /// Sets properties.
    pub async fn set(&self, name: &DatasetName, to: &Properties<'_>) -> Result<(), ZfsError> {
        let pairs = to.iter().map(|(property, value)| format!("{property}={value}"));
        let command = zfs("set").args(pairs).arg(name.as_str());
        self.quiet("set", name.as_str(), &command).await
    }

    /// The value of a property, sizes in bytes; none where it is not set.
    pub async fn get(
        &self,
        name: &DatasetName,
        property: &str,
    ) -> Result<Option<String>, ZfsError> {
        let command = zfs("get").args(["-H", "-p", "-o", "value", property]).arg(name.as_str());
        let text = self.run("get", name.as_str(), &command).await?;
        let value = text.trim_end_matches('\n');
        Ok((value != "-" && !value.is_empty()).then(|| value.to_owned()))
    }

    /// The value of a property of a dataset and of each one below it, where it is set or inherited.
    pub async fn get_all(
        &self,
        root: &DatasetName,
        property: &str,
    ) -> Result<Vec<(DatasetName, String)>, ZfsError> {
        let options = ["-H", "-p", "-r", "-t", "filesystem", "-o", "name,value", property];
        let command = zfs("get").args(options).arg(root.as_str());
        let text = match self.run("get", root.as_str(), &command).await {
            Ok(text) => text,
            Err(error) if error.why == Why::Missing => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        let named = lines
            .filter(|(_, value)| *value != "-")
            .filter_map(|(name, value)| Some((DatasetName::parse(name).ok()?, value.to_owned())));
        Ok(named.collect())
    }

    /// A dataset with everything below it, snapshots included, parents first; none where it does
    /// not exist.
    pub async fn tree(&self, root: &DatasetName) -> Result<Vec<Dataset>, ZfsError> {
        let command = list::command().arg("-r").arg(root.as_str());
        self.listed(root, &command).await
    }

    /// The datasets of [`Zfs::tree`], and the names that [`DatasetName`] does not accept, with a
    /// space for example.
    pub async fn survey(
        &self,
        root: &DatasetName,
    ) -> Result<(Vec<Dataset>, Vec<String>), ZfsError> {
        let command = list::command().arg("-r").arg(root.as_str());
        match self.run("list", root.as_str(), &command).await {
            Ok(text) => Ok((list::parse(&text), list::foreign(&text))),
            Err(error) if error.why == Why::Missing => Ok((Vec::new(), Vec::new())),
            Err(error) => Err(error),
        }
    }

    /// One dataset, where it exists.
    pub async fn find(&self, name: &DatasetName) -> Result<Option<Dataset>, ZfsError> {
        let found = self.listed(name, &list::command().arg(name.as_str())).await?;
        Ok(found.into_iter().next())
    }

    /// Whether a snapshot exists.
    pub async fn has_snapshot(&self, name: &SnapshotName) -> Result<bool, ZfsError> {
        let command = zfs("list").args(["-H", "-o", "name", "-t", "snapshot"]).arg(name.as_str());
        match self.run("list", name.as_str(), &command).await {
            Ok(_) => Ok(true),
            Err(error) if error.why == Why::Missing => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn listed(
        &self,
        root: &DatasetName,
        command: &Command,
    ) -> Result<Vec<Dataset>, ZfsError> {
        match self.run("list", root.as_str(), command).await {
            Ok(text) => Ok(list::parse(&text)),
            Err(error) if error.why == Why::Missing => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn quiet(
        &self,
        what: &'static str,
        name: &str,
        command: &Command,
    ) -> Result<(), ZfsError> {
        self.run(what, name, command).await.map(|_| ())
    }

    async fn run(
        &self,
        what: &'static str,
        name: &str,
        command: &Command,
    ) -> Result<String, ZfsError> {
        let output = match self.exec.run(command).await {
            Ok(output) => output.success(command),
            Err(error) => Err(error),
        };
        output.map_err(|source| {
            let why = Why::of(&source);
            ZfsError { what, name: name.to_owned(), why, source }
        })
    }
}

fn zfs(subcommand: &str) -> Command {
    Command::program("zfs").arg(subcommand)
}

fn options(command: Command, with: &Properties<'_>) -> Command {
    with.iter().fold(command, |command, (property, value)| {
        command.arg("-o").arg(format!("{property}={value}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;

    fn dataset(text: &str) -> DatasetName {
        DatasetName::parse(text).unwrap()
    }

    #[tokio::test]
    async fn error_messages_are_classified() {
        // As a FreeBSD 15 host and OpenZFS 2.3 on Linux worded them.
        let table = [
            ("cannot create 'z/a': dataset already exists", Why::Exists),
            ("cannot create 'z/a': parent does not exist", Why::Missing),
            ("cannot open 'z/a': dataset does not exist", Why::Missing),
            ("cannot open 'z': no such pool", Why::Missing),
            ("could not find any snapshots to destroy; check snapshot names.", Why::Missing),
            ("cannot unmount '/z/a': pool or dataset is busy", Why::Busy),
            ("cannot destroy 'z/a': dataset is busy", Why::Busy),
            (
                "cannot destroy 'z/a': filesystem has children\nuse '-r' to destroy the following datasets:\nz/a@p1",
                Why::Depended,
            ),
            ("cannot create 'z/a': permission denied", Why::Denied),
            ("cannot create 'z/a': out of space", Why::Full),
            ("The ZFS modules cannot be auto-loaded.", Why::Absent),
            ("cannot create 'z/a': the moon is in the wrong phase", Why::Other),
        ];
        for (said, why) in table {
            let script = Script::new().expect("zfs destroy z/a", 1, "", said);
            let error = Zfs::new(script.shared()).destroy(&dataset("z/a")).await.unwrap_err();
            assert_eq!(error.why, why, "{said}");
        }
    }

    #[tokio::test]
    async fn each_operation_is_one_command() {
        let script = Script::new()
            .quiet("zfs create -o mountpoint=/jails -o compression=lz4 z/jails")
            .quiet("zfs snapshot z/jails@p1")
            .quiet("zfs clone -o quota=64M -o readonly=on z/jails@p1 z/run")
            .quiet("zfs rename z/run z/ran")
            .quiet("zfs set readonly=on sky-island:made=yes z/ran")
            .quiet("zfs mount z/ran")
            .quiet("zfs destroy -r z/jails");
        let zfs = Zfs::new(script.shared());
        let (jails, run) = (dataset("z/jails"), dataset("z/run"));
        zfs.create(&jails, &[("mountpoint", "/jails"), ("compression", "lz4")]).await.unwrap();
        let snapshot = jails.at("p1").unwrap();
        zfs.snapshot(&snapshot).await.unwrap();
        zfs.clone(&snapshot, &run, &[("quota", "64M"), ("readonly", "on")]).await.unwrap();
        zfs.rename(&run, &dataset("z/ran")).await.unwrap();
        let made = [("readonly", "on"), ("sky-island:made", "yes")];
        zfs.set(&dataset("z/ran"), &made).await.unwrap();
        zfs.mount(&dataset("z/ran")).await.unwrap();
        zfs.destroy_tree(&jails).await.unwrap();
        assert!(script.left().is_empty());
    }

    #[tokio::test]
    async fn a_missing_dataset_is_no_error_to_a_question() {
        let missing = "cannot open 'z/a': dataset does not exist\n";
        let list =
            "zfs list -H -p -o name,type,used,available,mountpoint,origin -t filesystem,snapshot";
        let script = Script::new()
            .expect(&format!("{list} z/a"), 1, "", missing)
            .expect(&format!("{list} -r z/a"), 1, "", missing)
            .expect("zfs list -H -o name -t snapshot z/a@p1", 1, "", missing)
            .expect("zfs get -H -p -o value sky-island:made z/a", 0, "-\n", "")
            .expect(
                "zfs get -H -p -r -t filesystem -o name,value sky-island:made z/a",
                1,
                "",
                missing,
            )
            .expect(
                "zfs get -H -p -r -t filesystem -o name,value sky-island:made z",
                0,
                "z\t-\nz/a\tjails\nz/a/my data\tjails\nz/a/run\trun\n",
                "",
            );
        let zfs = Zfs::new(script.shared());
        let name = dataset("z/a");
        assert_eq!(zfs.find(&name).await.unwrap(), None);
        assert!(zfs.tree(&name).await.unwrap().is_empty());
        assert!(!zfs.has_snapshot(&name.at("p1").unwrap()).await.unwrap());
        assert_eq!(zfs.get(&name, "sky-island:made").await.unwrap(), None);
        assert!(zfs.get_all(&name, "sky-island:made").await.unwrap().is_empty());
        let found = zfs.get_all(&dataset("z"), "sky-island:made").await.unwrap();
        let expected = [("z/a", "jails"), ("z/a/run", "run")];
        assert_eq!(found, expected.map(|(name, value)| (dataset(name), value.to_owned())));
    }
}
