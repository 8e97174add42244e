//! The memory and processor time of islands, from their control groups where there are any and
//! from proc(5) otherwise, and the free memory of the host.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};
use parking_lot::Mutex;

use crate::backend::Usage;
use crate::id::IslandId;
use crate::launcher::client::LauncherClient;
use crate::linux::cgroup::home::CgroupFolders;
use crate::linux::cgroup::usage::GroupUsage;

/// The numbers of the fields of /proc/PID/stat at which a process's own times begin (utime and
/// stime), and those of its children (cutime and cstime).
const OWN: usize = 14;
const CHILDREN: usize = 16;

/// The first processes of functions' islands. The launcher is asked only where one is not known
/// from the last time, because a question wakes both processes.
#[derive(Default)]
pub(super) struct FirstProcesses(Mutex<HashMap<IslandId, i32>>);

impl FirstProcesses {
    /// Those of these islands, as far as they run.
    pub(super) async fn of(
        &self,
        launcher: &LauncherClient,
        islands: &[IslandId],
    ) -> HashMap<IslandId, i32> {
        let mut known = std::mem::take(&mut *self.0.lock());
        if islands.iter().any(|id| !known.contains_key(id)) {
            let listed = launcher.islands().await.unwrap_or_default();
            known = listed.into_iter().map(|island| (island.id, island.number)).collect();
        }
        known.retain(|id, _| islands.contains(id));
        self.0.lock().clone_from(&known);
        known
    }
}

/// The present usage of a process; none if the process is gone.
fn of_process(process: i32) -> Option<Usage> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).ok();
    let memory = private_pages(&read("statm")?)? * unit(SysconfVar::PAGE_SIZE)?;
    let ticks = ticks(&read("stat")?)?;
    let processor = Duration::from_secs_f64(ticks as f64 / unit(SysconfVar::CLK_TCK)? as f64);
    Some(Usage { memory, processor })
}

/// The usage of islands, by the pids of their first processes. `home` has their groups, which count
/// memory and time of every process and of every kind; without one, the processes are counted.
pub(super) fn of_groups(home: Option<&CgroupFolders>, firsts: &[i32]) -> HashMap<i32, Usage> {
    let in_group = |first: &i32| home.map(|home| home.usage_of(*first)).unwrap_or_default();
    let groups: Vec<_> = firsts.iter().map(|first| (*first, in_group(first))).collect();
    let is_counted = groups.iter().all(|(_, it)| it.memory.is_some() && it.processor.is_some());
    let counted = if is_counted { HashMap::new() } else { of_islands(firsts) };
    let usage = |(first, group): (i32, GroupUsage)| {
        let processes = counted.get(&first);
        let memory = group.memory.or(processes.map(|usage| usage.memory))?;
        let processor = group.processor.or(processes.map(|usage| usage.processor))?;
        Some((first, Usage { memory, processor }))
    };
    groups.into_iter().filter_map(usage).collect()
}

/// The usage of islands by the pids of their first processes: of all processes in the same pid
/// namespace, with the processor time of processes that have ended. Where this process may not read
/// the namespace, the first process counts alone.
fn of_islands(firsts: &[i32]) -> HashMap<i32, Usage> {
    let mut used = HashMap::new();
    let mut islands = HashMap::new();
    for first in firsts {
        let Some(usage) = of_family(*first) else { continue };
        used.insert(*first, usage);
        islands.extend(namespace(*first).map(|namespace| (namespace, *first)));
    }
    let numbered = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(numbered);
    for process in processes.filter(|process| !firsts.contains(process)) {
        let first = namespace(process).and_then(|namespace| islands.get(&namespace));
        if let Some(total) = first.and_then(|first| used.get_mut(first))
            && let Some(more) = of_family(process)
        {
            total.memory += more.memory;
            total.processor += more.processor;
        }
    }
    used
}

fn namespace(process: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/pid")).ok()
}

/// The present usage of a process, with the processor time of its children that have ended.
fn of_family(process: i32) -> Option<Usage> {
    let own = of_process(process)?;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let ticks = ticks_from(&stat, CHILDREN)? as f64 / unit(SysconfVar::CLK_TCK)? as f64;
    Some(Usage { processor: own.processor + Duration::from_secs_f64(ticks), ..own })
}

/// The part of the host's memory that is free or can be freed at once, from 0 to 1.
pub(super) fn free_memory() -> Option<f64> {
    free_part(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn unit(name: SysconfVar) -> Option<u64> {
    u64::try_from(sysconf(name).ok()??).ok().filter(|unit| *unit > 0)
}

/// Resident pages except those of files and shared memory, from /proc/PID/statm.
fn private_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_whitespace().skip(1).map(str::parse::<u64>);
    let (rss, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(rss.saturating_sub(shared))
}

/// Processor time in clock ticks, from /proc/PID/stat.
fn ticks(stat: &str) -> Option<u64> {
    ticks_from(stat, OWN)
}

/// The sum of the field with this number, counted from 1, and the next one, both of which are
/// times. The second field, a name in parentheses, may contain any character.
fn ticks_from(stat: &str, field: usize) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    // The text after the name begins with field 3.
    let mut fields = behind.split_whitespace().skip(field - 3).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(user + system)
}

fn free_part(meminfo: &str) -> Option<f64> {
    let value = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(value("MemAvailable:")? / value("MemTotal:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_of_a_process_is_read_whatever_its_name_is() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 90 0 0 0 7 5 0 0 20 0 6 0 100 1 2 3";
        assert_eq!(ticks(stat), Some(12));
        assert_eq!(ticks("42 (a) S 1"), None);
        assert_eq!(private_pages("3000 900 600 300 0 500 0\n"), Some(300));
        assert_eq!(private_pages("3000"), None);
    }

    #[test]
    fn the_processes_of_an_island_count_together() {
        let own = std::process::id() as i32;
        let used = of_islands(&[own, i32::MAX]);
        assert_eq!(used.keys().collect::<Vec<_>>(), [&own]);
        // The process that runs this test is in the same namespace.
        assert!(used[&own].memory >= of_process(own).unwrap().memory / 2, "{used:?}");
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 90 0 0 0 7 5 3 2 20 0 6 0 100 1 2 3";
        assert_eq!(ticks_from(stat, CHILDREN), Some(5));
    }

    #[test]
    fn this_process_uses_memory_and_the_host_has_some_left() {
        let own = of_process(std::process::id() as i32).unwrap();
        assert!(own.memory > 100_000, "{own:?}");
        assert_eq!(of_process(i32::MAX), None);
        assert!((0.0..=1.0).contains(&free_memory().unwrap()));
        assert_eq!(free_part("MemTotal: 200 kB\nMemFree: 1 kB\nMemAvailable: 50 kB\n"), Some(0.25));
    }
}
