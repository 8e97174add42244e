//! Where a host keeps control groups, and whose are swept.

use super::*;

#[path = "../../../../tests/support/skip.rs"]
mod skip;

const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
36 30 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
38 30 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
const PURE: &str = "26 23 0:24 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

#[test]
fn version_two_is_used_where_it_has_the_controllers() {
    let own = "0::/user.slice/user-1000.slice/session.scope";
    let layout = CgroupLayout::find(PURE, own, &|_| "cpuset cpu io memory pids\n".into()).unwrap();
    assert_eq!(layout.version, Version::Two);
    let path = "/sys/fs/cgroup/user.slice/user-1000.slice/session.scope";
    assert_eq!(layout.own, [PathBuf::from(path)]);
    // Where a server has made place for its successor.
    let moved = format!("{own}{LEAF}");
    let again =
        CgroupLayout::find(PURE, &moved, &|_| "cpuset cpu io memory pids\n".into()).unwrap();
    assert_eq!(again, layout);
}

#[test]
fn version_one_is_used_where_version_two_has_no_controllers() {
    let own = "5:pids:/\n4:memory:/box\n0::/";
    let layout = CgroupLayout::find(HYBRID, own, &|_| String::new()).unwrap();
    assert_eq!(layout.version, Version::One);
    assert_eq!(
        layout.own,
        [PathBuf::from("/sys/fs/cgroup/memory/box"), PathBuf::from("/sys/fs/cgroup/pids/")]
    );
}

#[test]
fn a_home_is_swept_whose_owner_is_gone_or_had_our_number() {
    let top = tempfile::tempdir().unwrap();
    let own = std::process::id();
    let names = [format!("{PREFIX}{own}"), format!("{PREFIX}{}", u32::MAX), format!("{PREFIX}1")];
    for name in &names {
        fs::create_dir_all(top.path().join(name).join("si_0123abcd_1")).unwrap();
    }
    sweep(top.path(), true);
    assert!(top.path().join(format!("{PREFIX}{own}")).exists(), "it is in use");
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

#[test]
fn a_host_without_the_controllers_has_no_layout() {
    assert_eq!(CgroupLayout::find(PURE, "0::/", &|_| "cpu io".into()), None);
    assert_eq!(CgroupLayout::find("", "", &|_| String::new()), None);
}
