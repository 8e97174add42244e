//! mount(8) and umount(8): what is mounted in an island's root, and that it is unmounted.
//!
//! What must always hold: whatever is mounted is known to somebody who unmounts it, for a jail's end leaves it; a folder
//! that a living island may write is mounted in no other (see [`Writers`]).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::exec::{Command, ExecError, Executor};
use parking_lot::Mutex;

/// Files in a private /tmp.
const TMP_FILES: u64 = 4096;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// The devices of [`crate::freebsd::devices`].
    Devices,
    /// Memory of this many bytes.
    Tmp(u64),
    /// A folder of the host.
    Folder {
        /// Where it lies on the host.
        source: PathBuf,
        /// Whether the island may change it.
        writable: bool,
    },
}

/// Mounts something at a folder of the host.
pub async fn mount(exec: &dyn Executor, what: &Mount, at: &Path) -> Result<(), ExecError> {
    let command = command(what).arg(at);
    exec.run(&command).await?.success(&command).map(|_| ())
}

fn command(what: &Mount) -> Command {
    let mount = |kind: &str, options: String| {
        Command::program("mount").args(["-t", kind, "-o"]).arg(options)
    };
    match what {
        Mount::Devices => {
            mount("devfs", format!("ruleset={}", crate::freebsd::devices::RULESET)).arg("devfs")
        }
        Mount::Tmp(bytes) => {
            let size = format!("size={bytes},inodes={TMP_FILES},mode=1777,nosuid,noexec");
            mount("tmpfs", size).arg("tmpfs")
        }
        Mount::Folder { source, writable } => {
            let access = if *writable { "rw" } else { "ro" };
            mount("nullfs", format!("{access},nosuid")).arg(source)
        }
    }
}

/// Unmounts what is mounted at a folder; that nothing is mounted there is no error.
pub async fn unmount(exec: &dyn Executor, at: &Path) -> Result<(), ExecError> {
    // Whatever held it was in a jail that is gone by now, so nothing is lost by force.
    let command = Command::program("umount").arg("-f").arg(at);
    let output = exec.run(&command).await?;
    let nothing =
        ["not a file system root directory", "No such file or directory", "unknown file system"];
    if nothing.iter().any(|text| output.stderr.contains(text)) {
        return Ok(());
    }
    output.success(&command).map(|_| ())
}

/// What is mounted below a folder, at any depth, ZFS left out; the last mounted first.
pub async fn below(exec: &dyn Executor, folder: &Path) -> Result<Vec<PathBuf>, ExecError> {
    let command = Command::program("mount").arg("-p");
    let text = exec.run(&command).await?.success(&command)?;
    let mut found: Vec<_> = text.lines().filter_map(|line| entry(line, folder)).collect();
    found.reverse();
    Ok(found)
}

/// The five last fields of a line of `mount -p` are the folder, the kind, the options, and two numbers. The first may
/// hold spaces.
fn entry(line: &str, folder: &Path) -> Option<PathBuf> {
    let mut fields = line.split_whitespace().rev().skip(3);
    let (kind, at) = (fields.next()?, Path::new(fields.next()?));
    let below = at.starts_with(folder) && at != folder;
    (below && kind != "zfs").then(|| at.to_owned())
}

/// The folders of the host that some island may write at the moment.
#[derive(Clone, Default)]
pub struct Writers(Arc<Mutex<HashSet<PathBuf>>>);

/// One island's hold on the folders that it may write.
pub struct Writing {
    writers: Writers,
    folders: Vec<PathBuf>,
}

impl Writers {
    /// Takes hold of folders; the first that another island has is the error.
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

    #[tokio::test]
    async fn what_is_not_mounted_needs_no_unmounting_and_what_is_busy_does() {
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
    async fn the_mounts_of_islands_are_found_last_one_first() {
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
