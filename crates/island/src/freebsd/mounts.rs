//! The mounts in an island's root, by mount(8), umount(8) and nmount(2).
//!
//! Invariants: each mount is in the resources of its island, because it outlives the jail; a folder
//! that a living island may write is writable in no other island (see [`Writers`]); a mount has the
//! same options whether a command or the launcher makes it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::exec::{Command, ExecError, Executor};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::freebsd::devices;

/// The most files in a private /tmp.
const TMP_FILES: u64 = 4096;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// The devices of [`devices`].
    Devices,
    /// Memory of this many bytes.
    Tmp(u64),
    /// A folder of the host.
    Folder {
        /// The folder's path on the host.
        source: PathBuf,
        /// Whether the island may write to the folder.
        writable: bool,
    },
}

/// Mounts something at a folder of the host.
pub async fn mount(exec: &dyn Executor, what: &Mount, at: &Path) -> Result<(), ExecError> {
    let command = command(what).arg(at);
    exec.run(&command).await?.success(&command).map(|_| ())
}

fn command(what: &Mount) -> Command {
    let option = |(name, value): (&str, Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.to_owned(),
    };
    let options: Vec<String> = what.options().into_iter().map(option).collect();
    let (kind, source) = what.kind();
    Command::program("mount").args(["-t", kind, "-o", &options.join(",")]).arg(source)
}

impl Mount {
    /// The kind of file system, for messages.
    pub(super) fn name(&self) -> &'static str {
        self.kind().0
    }

    /// The kind of file system, and what is mounted.
    fn kind(&self) -> (&'static str, PathBuf) {
        match self {
            Self::Devices => ("devfs", "devfs".into()),
            Self::Tmp(_) => ("tmpfs", "tmpfs".into()),
            Self::Folder { source, .. } => ("nullfs", source.clone()),
        }
    }

    fn options(&self) -> Vec<(&'static str, Option<String>)> {
        match self {
            Self::Devices => vec![("ruleset", Some(devices::RULESET.to_string()))],
            // A size of 0 would be all the memory of the host.
            Self::Tmp(bytes) => vec![
                ("size", Some(bytes.max(&1).to_string())),
                ("inodes", Some(TMP_FILES.to_string())),
                ("mode", Some("1777".to_owned())),
                ("nosuid", None),
                ("noexec", None),
            ],
            Self::Folder { writable, .. } => {
                vec![(if *writable { "rw" } else { "ro" }, None), ("nosuid", None)]
            }
        }
    }

    /// The parameters of nmount(2) for this mount at a folder of the host.
    pub fn parameters(&self, at: &Path) -> Vec<(&'static str, Option<OsString>)> {
        let (kind, source) = self.kind();
        let mut all = vec![
            ("fstype", Some(kind.into())),
            ("fspath", Some(at.into())),
            ("from", Some(source.into())),
        ];
        let options = self.options().into_iter();
        all.extend(options.map(|(name, value)| (name, value.map(OsString::from))));
        all
    }
}

/// Unmounts what is mounted at a folder. A folder without a mount is no error.
pub async fn unmount(exec: &dyn Executor, at: &Path) -> Result<(), ExecError> {
    // The jail is gone, so no process loses anything by force.
    let command = Command::program("umount").arg("-f").arg(at);
    let output = exec.run(&command).await?;
    let nothing =
        ["not a file system root directory", "No such file or directory", "unknown file system"];
    if nothing.iter().any(|text| output.stderr.contains(text)) {
        return Ok(());
    }
    output.success(&command).map(|_| ())
}

/// The mounts below a folder, at any depth and without ZFS, the newest first.
pub async fn below(exec: &dyn Executor, folder: &Path) -> Result<Vec<PathBuf>, ExecError> {
    let command = Command::program("mount").arg("-p");
    let text = exec.run(&command).await?.success(&command)?;
    let mut found: Vec<_> = text.lines().filter_map(|line| entry(line, folder)).collect();
    found.reverse();
    Ok(found)
}

/// The five last fields of a line of `mount -p` are the folder, the kind, the options, and two
/// numbers. The first field, the source, may have spaces.
fn entry(line: &str, folder: &Path) -> Option<PathBuf> {
    let mut fields = line.split_whitespace().rev().skip(3);
    let (kind, at) = (fields.next()?, Path::new(fields.next()?));
    let below = at.starts_with(folder) && at != folder;
    (below && kind != "zfs").then(|| at.to_owned())
}

/// The folders of the host that islands may write at the moment.
#[derive(Clone, Default)]
pub struct Writers(Arc<Mutex<HashSet<PathBuf>>>);

/// The folders that one island may write; other islands may when this is dropped.
pub struct Writing {
    writers: Writers,
    folders: Vec<PathBuf>,
}

impl Writers {
    /// Reserves folders for one island. The error is the first folder that another island has.
    pub fn take(&self, folders: Vec<PathBuf>) -> Result<Writing, PathBuf> {
        let mut taken = self.0.lock();
        if let Some(busy) = folders.iter().find(|folder| taken.contains(*folder)) {
            return Err(busy.clone());
        }
        taken.extend(folders.iter().cloned());
        drop(taken);
        Ok(Writing { writers: self.clone(), folders })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut taken = self.writers.0.lock();
        for folder in &self.folders {
            taken.remove(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Script;

    #[tokio::test]
    async fn each_mount_is_one_command_and_so_is_its_end() {
        let folder = |writable| Mount::Folder { source: "/var/db/a b".into(), writable };
        let script = Script::new()
            .quiet("mount -t devfs -o ruleset=3281 devfs /j/run/a/dev")
            .quiet("mount -t tmpfs -o size=8388608,inodes=4096,mode=1777,nosuid,noexec tmpfs /j/run/a/tmp")
            .quiet("mount -t nullfs -o ro,nosuid \"/var/db/a b\" /j/run/a/src")
            .quiet("mount -t nullfs -o rw,nosuid \"/var/db/a b\" /j/run/a/out")
            .quiet("umount -f /j/run/a/out");
        mount(&script, &Mount::Devices, Path::new("/j/run/a/dev")).await.unwrap();
        mount(&script, &Mount::Tmp(8 << 20), Path::new("/j/run/a/tmp")).await.unwrap();
        mount(&script, &folder(false), Path::new("/j/run/a/src")).await.unwrap();
        mount(&script, &folder(true), Path::new("/j/run/a/out")).await.unwrap();
        unmount(&script, Path::new("/j/run/a/out")).await.unwrap();
    }

    #[test]
    fn the_launcher_mounts_with_the_options_of_the_commands() {
        let given = |mount: Mount| {
            let all = mount.parameters(Path::new("/j/run/a"));
            let text = |(name, value): (&str, Option<OsString>)| match value {
                Some(value) => format!("{name}={}", value.display()),
                None => name.to_owned(),
            };
            all.into_iter().map(text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(given(Mount::Devices), "fstype=devfs fspath=/j/run/a from=devfs ruleset=3281");
        assert_eq!(
            given(Mount::Tmp(8 << 20)),
            "fstype=tmpfs fspath=/j/run/a from=tmpfs size=8388608 inodes=4096 mode=1777 nosuid noexec"
        );
        assert_eq!(
            given(Mount::Folder { source: "/j/artifacts/a b".into(), writable: false }),
            "fstype=nullfs fspath=/j/run/a from=/j/artifacts/a b ro nosuid"
        );
        assert!(given(Mount::Tmp(0)).contains("size=1 "), "0 would be no limit");
    }

    #[tokio::test]
    async fn unmounting_succeeds_where_nothing_is_mounted_and_fails_where_it_is_busy() {
        let table = [
            ("umount: /j/dev: not a file system root directory\n", true),
            ("umount: /j/dev: statfs: No such file or directory\n", true),
            ("umount: unmount of /j/dev failed: Device busy\n", false),
        ];
        for (said, good) in table {
            let script = Script::new().expect("umount -f /j/dev", 1, "", said);
            assert_eq!(unmount(&script, Path::new("/j/dev")).await.is_ok(), good, "{said}");
        }
    }

    #[tokio::test]
    async fn the_mounts_of_islands_are_listed_newest_first() {
        // As FreeBSD 15 prints it, with a nullfs of a folder with a space added.
        let text = "/dev/vtbd0\t\t/\t\t\tufs\trw\t\t1 1\n\
            devfs\t\t\t/dev\t\t\tdevfs\trw\t\t0 0\n\
            zroot/jails/run/a\t/zroot/jails/run/a\tzfs\trw,noatime,nfsv4acls \t0 0\n\
            devfs\t\t\t/zroot/jails/run/a/dev\tdevfs\trw\t\t0 0\n\
            /var/db/a b\t\t/zroot/jails/run/a/src\tnullfs\tro,nosuid\t0 0\n\
            tmpfs\t\t\t/zroot/jails/runner\ttmpfs\trw\t\t0 0\n";
        let script = Script::new().expect("mount -p", 0, text, "");
        let found = below(&script, Path::new("/zroot/jails/run")).await.unwrap();
        let expected = ["/zroot/jails/run/a/src", "/zroot/jails/run/a/dev"].map(PathBuf::from);
        assert_eq!(found, expected);
    }

    #[test]
    fn no_two_islands_write_one_folder_at_a_time() {
        let writers = Writers::default();
        let (one, two) = (PathBuf::from("/a"), PathBuf::from("/b"));
        let hold = writers.take(vec![one.clone()]).unwrap();
        assert_eq!(writers.take(vec![two.clone(), one.clone()]).err(), Some(one.clone()));
        assert!(writers.take(vec![two]).is_ok());
        drop(hold);
        assert!(writers.take(vec![one]).is_ok());
    }
}
