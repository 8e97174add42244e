//! Homes of a host, and the removal of leftover ones.

use super::*;
use crate::linux::cgroup::share::Share;
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
    let group = groups.create("si_two_homes", &bounds, Share::Function).unwrap();
    let second = CgroupHome::create().unwrap();
    assert!(first.folders.iter().all(|folder| folder.join("si_two_homes").exists()));
    assert!(groups.remove(&group) && first.remove() && second.remove());
}

#[test]
fn a_group_has_the_weight_of_what_its_island_is_for() {
    let home = match CgroupHome::create() {
        Ok(home) if home.sharing.cpu => home,
        Ok(home) => {
            assert!(home.remove());
            let why = "the cpu controller is not to be had";
            return skip::skip("weights of groups", &skip::Reason::impossible(why));
        }
        Err(why) => return skip::skip("control groups", &skip::Reason::impossible(why)),
    };
    let bounds = ProcessBounds { memory: 1 << 28, processes: 8, tmp: 0, files: 0, file_size: 0 };
    let groups = home.open().unwrap();
    let table = match home.version {
        Version::One => [
            (Share::Function, "cpu.shares", Some("1024")),
            (Share::Tool, "cpu.shares", Some("512")),
            (Share::Background, "cpu.shares", None),
        ],
        Version::Two => [
            (Share::Function, "cpu.weight", Some("100")),
            (Share::Tool, "cpu.weight", Some("50")),
            (Share::Background, "cpu.idle", Some("1")),
        ],
    };
    for (index, (share, file, weight)) in table.into_iter().enumerate() {
        let name = format!("si_share_{index}");
        let group = groups.create(&name, &bounds, share).unwrap();
        let folder = home.folders.last().unwrap().join(&name);
        let found = fs::read_to_string(folder.join(file)).ok();
        assert_eq!(found.as_deref().map(str::trim), weight, "{share:?}");
        assert!(groups.remove(&group));
    }
    assert!(home.remove());
}
