//! What this host can isolate and limit, found out by looking, for `check` and the line at start.

use std::fs;

use crate::backend::Finding;

/// What each layer needs. `groups` is how making the server's own cgroup went.
pub(super) fn findings(groups: Result<(), &str>) -> Vec<Finding> {
    let root = nix::unistd::getuid().is_root();
    vec![namespaces(), user(root), filter(), landlock(), memory(groups), processes(groups, root)]
}

fn namespaces() -> Finding {
    let most = read("/proc/sys/user/max_user_namespaces").trim().parse::<u64>().unwrap_or(0);
    let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").trim() == "1";
    let detail =
        "user, pid, mount, ipc, uts, net and cgroup namespaces, each with one island at a time";
    let mut finding =
        Finding { name: "namespaces", detail: detail.into(), remedy: None, required: true };
    if most == 0 {
        finding.detail = "this host allows no user namespaces".into();
        finding.remedy = Some("sysctl -w user.max_user_namespaces=10000".into());
    } else if restricted && !nix::unistd::getuid().is_root() {
        finding.detail = "AppArmor keeps ordinary users from user namespaces".into();
        let remedy = "run as root, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
        finding.remedy = Some(remedy.into());
    }
    finding
}

fn user(root: bool) -> Finding {
    let (detail, remedy) = if root {
        ("each function has a user id of its own, and so have fetching and building", None)
    } else {
        (
            "all islands have your user id; namespaces alone keep them apart",
            Some("run as root for a user id of each island's own".to_owned()),
        )
    };
    Finding { name: "user ids", detail: detail.into(), remedy, required: false }
}

fn filter() -> Finding {
    let has = read("/proc/sys/kernel/seccomp/actions_avail").contains("errno");
    Finding {
        name: "system calls",
        detail: if has {
            "a list of allowed system calls (seccomp)"
        } else {
            "the kernel has no seccomp filters"
        }
        .into(),
        remedy: (!has).then(|| "use a kernel with CONFIG_SECCOMP_FILTER".into()),
        required: true,
    }
}

fn landlock() -> Finding {
    const VERSION_FLAG: libc::c_uint = 1;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with the version flag the call takes no attributes and makes nothing.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, VERSION_FLAG) };
    let (detail, remedy) = if version >= 1 {
        (format!("landlock, version {version}, as a second wall around files"), None)
    } else {
        let remedy = "use a kernel of 5.13 or later with landlock among its lsm= modules";
        ("no landlock; the mount namespace alone hides files".to_owned(), Some(remedy.to_owned()))
    };
    Finding { name: "files", detail, remedy, required: false }
}

fn memory(groups: Result<(), &str>) -> Finding {
    match groups {
        Ok(()) => Finding {
            name: "memory limit",
            detail: "for each process by rlimit, for the whole island by its cgroup".into(),
            remedy: None,
            required: false,
        },
        Err(why) => Finding {
            name: "memory limit",
            detail: format!("for each process by rlimit, not for an island as a whole: {why}"),
            remedy: Some("run as root, or under systemd-run --user --scope -p Delegate=yes".into()),
            required: false,
        },
    }
}

fn processes(groups: Result<(), &str>, root: bool) -> Finding {
    let detail = match (groups, root) {
        (Ok(()), _) => "by the island's cgroup and by rlimit",
        (Err(_), true) => "by rlimit on the island's own user id",
        (Err(_), false) => "by rlimit in the island's user namespace",
    };
    Finding { name: "process limit", detail: detail.into(), remedy: None, required: false }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
