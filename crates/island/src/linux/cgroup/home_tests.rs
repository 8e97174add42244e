//! Homes of a host, and the removal of leftover ones.

use super::*;
use crate::linux::cgroup::share::Share;
use crate::linux::cgroup::skip;
use crate::linux::protocol::ProcessBounds;

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
    let first = match CgroupHome::create(false) {
        Ok(home) => home,
        Err(why) => return skip::skip("control groups", &skip::Reason::impossible(why)),
    };
    let bounds = ProcessBounds { memory: 1 << 28, processes: 8, tmp: 0, files: 0, file_size: 0 };
    let groups = first.folders().open().unwrap();
    let group = groups.create("si_two_homes", &bounds, Share::Function).unwrap();
    let second = CgroupHome::create(false).unwrap();
    assert!(first.folders.folders.iter().all(|folder| folder.join("si_two_homes").exists()));
    assert!(groups.remove(&group) && first.remove() && second.remove());
}

#[test]
fn a_group_has_the_weight_of_what_its_island_is_for() {
    let home = match CgroupHome::create(false) {
        Ok(home) if home.folders().sharing().cpu => home,
        Ok(home) => {
            assert!(home.remove());
            let why = "the cpu controller is not to be had";
            return skip::skip("weights of groups", &skip::Reason::impossible(why));
        }
        Err(why) => return skip::skip("control groups", &skip::Reason::impossible(why)),
    };
    let bounds = ProcessBounds { memory: 1 << 28, processes: 8, tmp: 0, files: 0, file_size: 0 };
    let groups = home.folders().open().unwrap();
    let table = match home.folders().version() {
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
        let folder = home.folders.folders.last().unwrap().join(&name);
        let found = fs::read_to_string(folder.join(file)).ok();
        assert_eq!(found.as_deref().map(str::trim), weight, "{share:?}");
        assert!(groups.remove(&group));
    }
    assert!(home.remove());
}

/// A version 1 layout in a temporary folder, whose hierarchies are plain folders. `own` names the
/// group of this process in each.
fn layout(top: &Path, own: &str) -> CgroupLayout {
    let of = |name: &str| [top.join(name).join(own), top.join(name)];
    let [[own_memory, memory], [own_pids, pids]] = [of("memory"), of("pids")];
    let cpu = Some(of("cpu"));
    let (own, top) = (vec![own_memory, own_pids], vec![memory, pids]);
    CgroupLayout { version: Version::One, own, top, cpu }
}

#[test]
fn a_home_is_in_the_own_group_or_at_the_top_and_leaves_nothing() {
    // The group is missing in one hierarchy, in another one, in none.
    for (missing, at_top) in [("memory", true), ("pids", true), ("cpu", false), ("", false)] {
        let top = tempfile::tempdir().unwrap();
        for name in ["memory", "pids", "cpu"] {
            let own = if name == missing { "" } else { "session" };
            fs::create_dir_all(top.path().join(name).join(own)).unwrap();
        }
        let layout = layout(top.path(), "session");
        let home = CgroupHome::create_in(&layout, 0, false).unwrap();
        let expected = if at_top { &layout.top } else { &layout.own };
        let parents = |home: &CgroupHome| -> Vec<PathBuf> {
            home.folders.folders.iter().map(|it| it.parent().unwrap().to_owned()).collect()
        };
        assert_eq!(parents(&home)[..2], expected[..], "{missing:?}");
        let cpu = layout.cpu.as_ref().map(|it| if missing == "cpu" { &it[1] } else { &it[0] });
        assert_eq!(parents(&home).get(2), cpu);
        drop(home);
        let named = name(0);
        assert!(layout.parents().all(|parent| !parent.join(&named).exists()), "{missing:?}");
    }
}

#[test]
fn each_start_removes_leftover_homes_from_every_place() {
    let top = tempfile::tempdir().unwrap();
    let layout = layout(top.path(), "session");
    let gone = format!("{PREFIX}{}", u32::MAX);
    let alive = format!("{PREFIX}1");
    for parent in layout.parents() {
        fs::create_dir_all(parent.join(&gone).join("si_0123abcd_1")).unwrap();
        fs::create_dir_all(parent.join(&alive)).unwrap();
    }
    let home = CgroupHome::create_in(&layout, 0, false).unwrap();
    for parent in layout.parents() {
        assert!(!parent.join(&gone).exists(), "{}", parent.display());
        assert!(parent.join(&alive).exists(), "{}", parent.display());
    }
    assert!(home.remove());
}
