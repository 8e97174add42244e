//! What is left of a server that was killed, in the system and on disk, once the next one serves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::leftovers::{
    CGROUP_DEPTH, CGROUPS, groups_of, names_in, process_name, processes_below, stat,
};
use crate::server::{POLL, Server};

/// The longest until everything of a killed server is gone after the next one is healthy.
const GONE: Duration = Duration::from_secs(15);

/// From now on processes whose parent has died are children of this one, so that no process of a
/// killed server is out of sight.
pub(crate) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the call takes and returns numbers alone.
        let set = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
        assert_eq!(set, 0, "the kernel has had subreapers since 3.4");
    }
}

/// Fails where something of the dead server is left; `server` is the one that serves now.
pub(crate) fn nothing_is_left_of(dead: u32, server: &Server) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let left = left_of(dead, server);
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > GONE {
            return Err(format!("{GONE:?} after the next start there still is {left:#?}"));
        }
        sleep(POLL);
    }
}

fn left_of(dead: u32, server: &Server) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    let ours = std::process::id();
    let living: BTreeSet<u32> = processes_below(server.pid()).into_iter().collect();
    for process in processes_below(ours) {
        if process == server.pid() || living.contains(&process) {
            continue;
        }
        // An orphan that has ended waits for us; the standard library waits for the servers.
        let pid = Pid::from_raw(process.cast_signed());
        let parent = stat(process).map(|(parent, _)| parent);
        if parent == Some(ours) {
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        }
        if stat(process).is_some() {
            left.insert(format!("process {process} {}", process_name(process)));
        }
    }
    for group in groups_of(dead, Path::new(CGROUPS), CGROUP_DEPTH) {
        left.insert(format!("group {}", group.display()));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let state = server.state().to_string_lossy().into_owned();
    for mount in mounts.lines().filter(|line| line.contains(&*state)) {
        let at = mount.split(' ').nth(4).unwrap_or(mount);
        // The disk of the state directory itself may be a mount.
        if at != state {
            left.insert(format!("mount {at}"));
        }
    }
    left.extend(half_made(server.state()));
    left
}

/// Scratch files, and entries of stores that lack a part. Nothing may be under way.
fn half_made(state: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in names_in(&state.join("scratch")) {
        found.insert(format!("scratch/{entry}"));
    }
    let parts: [(&str, &[&str]); 3] = [
        ("checkouts", &["meta.json", "tree/src"]),
        ("artifacts", &["main", "length", "about.json"]),
        ("gocache", &["upper"]),
    ];
    for (store, parts) in parts {
        for entry in entries(&state.join(store)) {
            for part in parts.iter().filter(|part| !entry.join(part).exists()) {
                found.insert(format!("{} without {part}", entry.display()));
            }
        }
    }
    found
}

/// The entries of a store, which lie in folders of two letters.
fn entries(store: &Path) -> Vec<PathBuf> {
    let letters = names_in(store).into_iter().map(|name| store.join(name));
    let folders = letters.filter(|folder| folder.is_dir());
    folders
        .flat_map(|folder| names_in(&folder).into_iter().map(move |it| folder.join(it)))
        .collect()
}
