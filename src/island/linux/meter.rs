//! What the kernel counts of the memory of a [group](super::cgroup).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The open files that tell of a group's memory, which stay readable for whoever has given up the rights to open them.
pub(crate) struct Meter {
    used: File,
    events: File,
    /// The kills that were seen.
    kills: u64,
}

impl Meter {
    pub(crate) fn new(used: File, events: File) -> io::Result<Self> {
        let mut meter = Self { used, events, kills: 0 };
        meter.has_killed()?;
        Ok(meter)
    }

    /// Whether the kernel had killed something when it was asked the last time.
    pub(crate) fn has_ever_killed(&self) -> bool {
        self.kills > 0
    }

    /// Bytes that are charged to the group.
    pub(crate) fn used(&self) -> io::Result<u64> {
        first_of(&self.used)?.trim().parse().map_err(io::Error::other)
    }

    /// Whether the kernel has killed something for want of memory since it was asked the last time.
    pub(crate) fn has_killed(&mut self) -> io::Result<bool> {
        let before = std::mem::replace(&mut self.kills, oom_kills(&first_of(&self.events)?));
        Ok(self.kills > before)
    }
}

/// What a short file of the kernel's says now.
pub(crate) fn first_of(file: &File) -> io::Result<String> {
    let mut bytes = [0; 256];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn oom_kills(text: &str) -> u64 {
    let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_for_want_of_memory_are_read_from_both_versions_files() {
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 1\n"), 1);
        assert_eq!(oom_kills(""), 0);
    }
}
