//! Homes of a host, and the removal of leftover ones.

use super::*;
use crate::linux::protocol::ProcessBounds;

#[path = "../../../../../tests/support/skip.rs"]
mod skip;

#[test]
fn a_home_is_removed_if_its_server_is_gone_or_had_the_pid_of_this_process() {
    let top = tempfile::tempdir().unwrap();
    let own = std::process::id();
    let names = [format!("{PREFIX}{own}"), format!("{PREFIX}{}", u32::MAX), format!("{PREFIX}1")];
    for name in &names {
        fs::create_dir_all(top.path().join(name).join("si_0123abcd_1")).unwrap();
    }
    sweep(top.path(), true);
    assert!(top.path().join(format!("{PREFIX}{own}")).exists(), "the home of this process");
    sweep(top.path(), false);
    assert_eq!(names.map(|name| top.path().join(name).exists()), [false, false, true]);
}

#[test]
fn a_second_home_of_a_process_leaves_the_groups_of_the_first() {
    let first = match CgroupHome::create() {
        Ok(home) => home,
        Err(why) => return skip::skip("control groups", &skip::Reason::impossible(why)),
    };
    let bounds = ProcessBounds { memory: 1 << 28, processes: 8, tmp: 0, files: 0, file_size: 0 };
    let groups = first.open().unwrap();
    let group = groups.create("si_two_homes", &bounds).unwrap();
    let second = CgroupHome::create().unwrap();
    assert!(first.folders.iter().all(|folder| folder.join("si_two_homes").exists()));
    assert!(groups.remove(&group) && first.remove() && second.remove());
}
