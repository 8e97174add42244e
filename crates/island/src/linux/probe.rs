//! What this host can isolate and limit, found out by looking, for `check` and the log at start.

use std::fs;

use common::causes;

use crate::backend::Finding;
use crate::linux::cgroup::error::CgroupError;
use crate::linux::cgroup::home::CgroupHome;
use crate::linux::cgroup::layout::Version;

/// What to do where systemd keeps controllers from the server.
const DELEGATE: &str = "have the controllers delegated: Delegate=yes in the server's unit, or, for an ordinary user, Delegate=cpu memory pids in a drop-in of user@.service";

/// The findings of each layer. `home` is the server's cgroup, or why it could not be made.
pub(super) fn findings(home: Result<&CgroupHome, &CgroupError>) -> Vec<Finding> {
    let groups = home.err();
    let root = nix::unistd::getuid().is_root();
    vec![
        namespaces(root),
        user(root),
        filter(),
        landlock(),
        memory(groups, root),
        processes(groups, root),
        processor_share(
            home.map(|home| (home.folders().version(), home.folders().sharing().cpu)),
            root,
        ),
    ]
}

fn namespaces(root: bool) -> Finding {
    let most = read("/proc/sys/user/max_user_namespaces").trim().parse::<u64>().unwrap_or(0);
    let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").trim() == "1";
    let (detail, remedy) = if most == 0 {
        (
            "this host allows no user namespaces (user.max_user_namespaces = 0), so no island can be made",
            Some("allow them: sysctl -w user.max_user_namespaces=10000"),
        )
    } else if restricted && !root {
        (
            "AppArmor denies user namespaces to ordinary users (kernel.apparmor_restrict_unprivileged_userns = 1), so no island can be made",
            Some("run as root, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        )
    } else {
        (
            "user, pid, mount, ipc, uts, net and cgroup namespaces, which no two islands share at the same time",
            None,
        )
    };
    finding("namespaces", detail, remedy, true)
}

fn user(root: bool) -> Finding {
    let (detail, remedy) = if root {
        ("each function has a user id of its own, and so have fetches and builds", None)
    } else {
        (
            "all islands have your user id, so only namespaces separate them",
            Some("run as root, for a user id for each island"),
        )
    };
    finding("user ids", detail, remedy, false)
}

fn filter() -> Finding {
    let has = read("/proc/sys/kernel/seccomp/actions_avail").contains("errno");
    let (detail, remedy) = if has {
        ("only the calls on a list are allowed (seccomp)", None)
    } else {
        (
            "the kernel has no seccomp filters, so no island can be made",
            Some("use a kernel with CONFIG_SECCOMP_FILTER"),
        )
    };
    finding("system calls", detail, remedy, true)
}

fn landlock() -> Finding {
    const VERSION_FLAG: libc::c_uint = 1;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with the version flag the call takes no attributes and makes nothing.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, VERSION_FLAG) };
    if version >= 1 {
        let detail =
            format!("landlock (version {version}) protects files in addition to the mounts");
        finding("files", detail, None, false)
    } else {
        finding(
            "files",
            "the kernel has no landlock, so only the mount namespace protects the host's files",
            Some("use a kernel of 5.13 or later with landlock in its lsm= parameter"),
            false,
        )
    }
}

fn memory(groups: Option<&CgroupError>, root: bool) -> Finding {
    match groups {
        None => finding(
            "memory limit",
            "for each process by rlimit, for the whole island by its cgroup",
            None,
            false,
        ),
        Some(error) => finding(
            "memory limit",
            format!(
                "for each process by rlimit, but not for an island as a whole: {}",
                causes::chain(error)
            ),
            Some(groups_remedy(error, root)),
            false,
        ),
    }
}

/// What to do where the server has no cgroup.
fn groups_remedy(error: &CgroupError, root: bool) -> &'static str {
    match (error, root) {
        (CgroupError::Occupied { .. }, false) => {
            "run as root, or have systemd hand the group over: systemd-run --user --scope -p Delegate=yes sky-island serve"
        }
        (CgroupError::Occupied { .. }, true) => {
            "have systemd hand the group over: systemd-run --scope -p Delegate=yes sky-island serve"
        }
        (CgroupError::Lacks { .. }, _) => DELEGATE,
        (_, false) => {
            "run as root, or with a group of its own: systemd-run --user --scope -p Delegate=yes sky-island serve"
        }
        (_, true) => {
            "mount the cgroup hierarchies, writable, with the memory and pids controllers (cgroups(7))"
        }
    }
}

fn processes(groups: Option<&CgroupError>, root: bool) -> Finding {
    let detail = match (groups, root) {
        (None, _) => "by the island's cgroup and by rlimit",
        (Some(_), true) => "by rlimit on the island's user id",
        (Some(_), false) => "by rlimit in the island's user namespace",
    };
    finding("process limit", detail, None, false)
}

/// `shares` says, of groups in which version, whether they divide the processors.
fn processor_share(shares: Result<(Version, bool), &CgroupError>, root: bool) -> Finding {
    const UNFAIR: &str = "islands have no shares of the processor, so a function with many processes takes most of it from the others";
    let (detail, remedy) = match shares {
        Ok((_, true)) => {
            ("equal for all functions, and less for builds and fetches (cpu weights)".into(), None)
        }
        Ok((Version::Two, false)) => {
            (format!("{UNFAIR}: the server's cgroup has no cpu controller"), Some(DELEGATE))
        }
        Ok((Version::One, false)) => (
            format!("{UNFAIR}: no group can be made in a cpu hierarchy"),
            Some(
                "run as root, with the hierarchy mounted: mkdir -p /sys/fs/cgroup/cpu && mount -t cgroup -o cpu cgroup /sys/fs/cgroup/cpu",
            ),
        ),
        Err(error) => {
            (format!("{UNFAIR}: {}", causes::chain(error)), Some(groups_remedy(error, root)))
        }
    };
    finding("processor share", detail, remedy, false)
}

fn finding(
    name: &'static str,
    detail: impl Into<String>,
    remedy: Option<&str>,
    required: bool,
) -> Finding {
    Finding { name, detail: detail.into(), remedy: remedy.map(str::to_owned), required }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
