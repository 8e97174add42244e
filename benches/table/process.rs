//! What the kernel says of a process and of those below it, from procfs: memory, processor time,
//! wake-ups.

use std::fs;
use std::path::PathBuf;

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// The process of an id, where the kernel tells of processes in this way.
    pub(crate) fn of(pid: u32) -> Result<Self, String> {
        let process = Self(pid);
        match process.field("status", "VmRSS:") {
            Some(_) => Ok(process),
            None => Err("there is no procfs that tells of the server's memory".to_owned()),
        }
    }

    fn folder(self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0))
    }

    fn field(self, file: &str, name: &str) -> Option<u64> {
        number_after(&fs::read_to_string(self.folder().join(file)).ok()?, name)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(self) -> Option<u64> {
        self.field("status", "VmRSS:").map(|kibibytes| kibibytes * 1024)
    }

    /// Its part of the memory that it shares with others, and all of its own, in bytes.
    pub(crate) fn proportional(self) -> Option<u64> {
        self.field("smaps_rollup", "Pss:").map(|kibibytes| kibibytes * 1024)
    }

    /// How often its threads have gone to sleep by themselves.
    pub(crate) fn sleeps(self) -> u64 {
        let threads = fs::read_dir(self.folder().join("task")).into_iter().flatten().flatten();
        let sleeps = |status: String| number_after(&status, "voluntary_ctxt_switches:");
        threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
            .filter_map(sleeps)
            .sum()
    }

    /// The server's other processes: its descendants that live among the host's processes. Those of
    /// islands have process ids of their own, and do not count.
    pub(crate) fn helpers(self) -> Vec<Self> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let parents: Vec<(u32, u32)> =
            pids.filter_map(|pid| Some((pid, Self(pid).parent()?))).collect();
        let ours = self.namespace();
        let mut found = vec![self.0];
        let mut next = 0;
        while let Some(above) = found.get(next).copied() {
            next += 1;
            let below = parents.iter().filter(|(_, parent)| *parent == above);
            found.extend(below.map(|(pid, _)| *pid).filter(|pid| Self(*pid).namespace() == ours));
        }
        found.into_iter().skip(1).map(Self).collect()
    }

    fn parent(self) -> Option<u32> {
        let stat = fs::read_to_string(self.folder().join("stat")).ok()?;
        // The name of the program may have any letters; its end is the last parenthesis.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    }

    fn namespace(self) -> Option<PathBuf> {
        fs::read_link(self.folder().join("ns/pid")).ok()
    }
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
