//! What a group uses: the memory of every kind that is charged to it, and the processor time of all
//! processes that were ever in it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::linux::cgroup::home::CgroupFolders;
use crate::linux::cgroup::layout::Version;

/// What a group of an island uses. None of what the kernel does not count here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupUsage {
    /// Bytes, with memory that processes share, and /tmp.
    pub(crate) memory: Option<u64>,
    pub(crate) processor: Option<Duration>,
}

impl CgroupFolders {
    /// What the group of a process in one of this home's groups uses.
    pub(crate) fn usage_of(&self, process: i32) -> GroupUsage {
        let found = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        let (first, last) = (self.paths().first(), self.paths().last());
        let Some(group) = first.and_then(|home| group_in(&found, home)) else {
            return GroupUsage::default();
        };
        let read = |home: Option<&std::path::PathBuf>, file: &str| {
            fs::read_to_string(home?.join(group).join(file)).ok()
        };
        match self.version() {
            Version::One => GroupUsage {
                memory: read(first, "memory.usage_in_bytes").and_then(|text| number(&text)),
                // Where the hierarchy of the processors counts time too, as it mostly does.
                processor: read(last.filter(|_| self.sharing().cpu), "cpuacct.usage")
                    .and_then(|text| number(&text).map(Duration::from_nanos)),
            },
            Version::Two => GroupUsage {
                memory: read(first, "memory.current").and_then(|text| number(&text)),
                processor: read(first, "cpu.stat").and_then(|text| {
                    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                    number(line).map(Duration::from_micros)
                }),
            },
        }
    }
}

/// The name of a process's group within the home, from /proc/PID/cgroup.
fn group_in<'a>(cgroups: &'a str, home: &Path) -> Option<&'a str> {
    let home = home.file_name()?.to_str()?;
    cgroups.lines().find_map(|line| {
        let (_, behind) = line.splitn(3, ':').nth(2)?.rsplit_once(home)?;
        behind.strip_prefix('/').filter(|name| !name.is_empty() && !name.contains('/'))
    })
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_in_the_group_below_the_home() {
        let home = Path::new("/sys/fs/cgroup/memory/service/sky-island-17");
        for (cgroups, expected) in [
            ("0::/service/sky-island-17/si_1", Some("si_1")),
            ("5:pids:/\n4:memory:/service/sky-island-17/si_2\n0::/", Some("si_2")),
            ("4:memory:/service/sky-island-1/si_2", None),
            ("4:memory:/service/sky-island-17", None),
            ("4:memory:/service/sky-island-17/", None),
            ("4:memory:/service/sky-island-17-1/si_2", None),
            ("4:memory:/sky-island-17/si_2/inner", None),
            ("", None),
        ] {
            assert_eq!(group_in(cgroups, home), expected, "{cgroups}");
        }
    }

    #[test]
    fn numbers_of_the_kernel_end_with_a_line() {
        assert_eq!(number("4096\n"), Some(4096));
        assert_eq!(number("max\n"), None);
    }
}
