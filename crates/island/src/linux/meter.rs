//! The memory of a [control group](crate::linux::cgroup), as the kernel counts it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The open files about a group's memory. A process can read them after it has lost the rights to
/// open them.
pub(crate) struct MemoryMeter {
    used: File,
    events: File,
}

impl MemoryMeter {
    pub(crate) fn new(used: File, events: File) -> Self {
        Self { used, events }
    }

    /// The bytes that are charged to the group.
    pub(crate) fn used(&self) -> io::Result<u64> {
        first_of(&self.used)?.trim().parse().map_err(io::Error::other)
    }

    /// Whether the kernel has ever killed a process of the group because the group met its own
    /// limit, and not because a group above or the whole host ran out of memory. Version 1 does not
    /// tell the two apart.
    pub(crate) fn has_killed(&self) -> bool {
        first_of(&self.events).is_ok_and(|text| has_killed(&text))
    }
}

/// The first 256 bytes of a file of the kernel, as they are now.
pub(crate) fn first_of(file: &File) -> io::Result<String> {
    let mut bytes = [0; 256];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn has_killed(events: &str) -> bool {
    let count = |name: &str| {
        let of =
            |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok();
        events.lines().find_map(of)
    };
    // The groups above have met their limits without an event in this one.
    count("oom_kill").is_some_and(|kills| kills > 0) && count("oom").is_none_or(|met| met > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_for_want_of_memory_are_read_from_both_versions_files() {
        assert!(has_killed("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"));
        assert!(!has_killed("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"));
        assert!(has_killed("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 1\n"));
        // A group above was full.
        assert!(!has_killed("low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n"));
        assert!(!has_killed(""));
    }
}
