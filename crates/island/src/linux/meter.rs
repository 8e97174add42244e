//! What the kernel counts of the memory of a [group](crate::linux::cgroup).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The open files that tell of a group's memory, which stay readable for whoever has given up the rights to open them.
pub(crate) struct MemoryMeter {
    used: File,
    events: File,
}

impl MemoryMeter {
    pub(crate) fn new(used: File, events: File) -> Self {
        Self { used, events }
    }

    /// Bytes that are charged to the group.
    pub(crate) fn used(&self) -> io::Result<u64> {
        first_of(&self.used)?.trim().parse().map_err(io::Error::other)
    }

    /// Whether the kernel has ever killed something in the group for want of memory.
    pub(crate) fn has_killed(&self) -> bool {
        first_of(&self.events).is_ok_and(|text| oom_kills(&text) > 0)
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
