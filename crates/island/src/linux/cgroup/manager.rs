//! Whether the systemd of an ordinary user has handed this process's group over (`Delegate=yes`).
//! It does not mark such groups, as the system's does (`cgroup_xattr_apply` in its source), so it
//! is asked.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use host::exec::{Command, Executor};

use crate::linux::cgroup::layout::LEAF;

/// How long systemctl(1) may take.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// The variables by which systemctl(1) finds the user's systemd.
const ADDRESS: [&str; 2] = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// Whether a user's systemd has handed the group of this process over.
pub(crate) async fn has_handed_over(exec: &dyn Executor) -> bool {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    match unit(&groups) {
        Some(unit) => is_delegated(exec, unit).await,
        None => false,
    }
}

async fn is_delegated(exec: &dyn Executor, unit: &str) -> bool {
    let question = Command::program("systemctl");
    let question = question.args(["--user", "show", "--property=Delegate", "--", unit]);
    let set = ADDRESS.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let question = set.fold(question, |question, (name, value)| question.env(name, value));
    let answer = exec.run(&question.deadline(ANSWER_WAIT)).await;
    answer.is_ok_and(|said| said.code == Some(0) && said.stdout.trim() == "Delegate=yes")
}

/// The unit of a user's systemd whose group, in version 2, a process is in that has this
/// /proc/self/cgroup.
fn unit(groups: &str) -> Option<&str> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    // A server that took over from another starts in the leaf of that server.
    let path = Path::new(path.strip_suffix(LEAF).unwrap_or(path));
    let is_manager = |name: &&str| name.starts_with("user@") && name.ends_with(".service");
    let mut names = path.iter().filter_map(OsStr::to_str).skip_while(|name| !is_manager(name));
    names.next()?;
    names.last().filter(|name| name.ends_with(".scope") || name.ends_with(".service"))
}

#[cfg(test)]
mod tests {
    use host::exec::Script;

    use super::*;

    #[test]
    fn only_a_unit_of_a_users_systemd_is_asked_for() {
        let user = "0::/user.slice/user-1000.slice";
        let manager = format!("{user}/user@1000.service");
        let table = [
            (format!("{manager}/app.slice/run-p1-i2.scope"), Some("run-p1-i2.scope")),
            (format!("{manager}/app.slice/run-p1-i2.scope{LEAF}"), Some("run-p1-i2.scope")),
            (format!("4:memory:/\n{manager}/app.slice/a.service\n"), Some("a.service")),
            // Slices have no processes of their own.
            (format!("{manager}/app.slice"), None),
            // This is the system's, which marks it.
            (manager, None),
            (format!("{user}/session-1.scope"), None),
            ("0::/system.slice/run-p1-i2.scope".into(), None),
            ("4:memory:/user@1000.service/a.service".into(), None),
            ("0::/".into(), None),
        ];
        for (groups, expected) in table {
            assert_eq!(unit(&groups), expected, "{groups}");
        }
    }

    #[tokio::test]
    async fn a_group_is_handed_over_if_the_users_systemd_says_so() {
        let question = "systemctl --user show --property=Delegate -- a.scope";
        let table = [
            (0, "Delegate=yes\n", true),
            (0, "Delegate=no\n", false),
            (0, "", false),
            (1, "Delegate=yes\n", false),
        ];
        for (code, stdout, expected) in table {
            let script = Script::new().expect(question, code, stdout, "");
            assert_eq!(is_delegated(&script, "a.scope").await, expected, "{code} {stdout}");
        }
    }
}
