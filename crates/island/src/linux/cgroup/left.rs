//! The control groups that a dead launcher has left.

use std::time::Duration;

use crate::linux::cgroup::home::CgroupFolders;

/// How often, and for how long, the groups of a launcher that died are removed; and the age from
/// which on a group without a process is one.
const RETRIES: usize = 10;
const RETRY: Duration = Duration::from_millis(300);
const AGE: Duration = Duration::from_secs(1);

/// Removes the control groups of a launcher that died, as its processes end.
pub(crate) fn remove(home: Option<CgroupFolders>) {
    let Some(home) = home else { return };
    tokio::spawn(async move {
        for _ in 0..RETRIES {
            tokio::time::sleep(RETRY).await;
            let home = home.clone();
            let _ = tokio::task::spawn_blocking(move || home.remove_left(AGE)).await;
        }
    });
}
