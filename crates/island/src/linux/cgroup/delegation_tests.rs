//! Which processes leave a group, and that all is undone: on trees of files, and on the kernel's.

use std::process::{Child, Command};

use parking_lot::{Mutex, MutexGuard};

use super::*;
use crate::linux::cgroup::skip;

const OWN: u32 = 77;

/// A folder with the files of a group, as the kernel shows them.
fn group(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_group_is_read_from_its_files() {
    let folder = group(&[
        ("cgroup.type", "domain\n"),
        ("cgroup.controllers", "cpu io memory pids\n"),
        (SUBTREE, "memory\n"),
        (PROCESSES, "77\n78\n"),
    ]);
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let state = GroupState::read(folder.path());
    let expected = GroupState {
        available: words("cpu io memory pids"),
        enabled: words("memory"),
        members: vec![77, 78],
        is_top: false,
        is_delegated: false,
    };
    assert_eq!(state, expected);
    assert_eq!(state.lacking(&["memory", "pids"]), [""; 0]);
    assert_eq!(state.lacking(&["memory", "rdma"]), ["rdma"]);
    // The top has no type.
    assert!(GroupState::read(group(&[(PROCESSES, "1\n77\n")]).path()).is_top);
}

#[test]
fn only_the_server_leaves_a_group_that_was_not_handed_over() {
    type Row<'a> = (&'a [u32], bool, bool, Result<&'a [u32], Vec<u32>>);
    let table: [Row<'_>; 9] = [
        (&[], false, false, Ok(&[])),
        (&[OWN], false, false, Ok(&[OWN])),
        (&[OWN], false, true, Ok(&[OWN])),
        (&[OWN, 78], false, false, Err(vec![78])),
        (&[OWN, 78], false, true, Ok(&[OWN, 78])),
        // Processes of another server's, which has gone to a leaf.
        (&[78, 79], false, false, Err(vec![78, 79])),
        // One that this process has no number for cannot be moved.
        (&[OWN, 0], false, true, Err(vec![0])),
        (&[1, OWN], true, false, Ok(&[])),
        (&[1, OWN], true, true, Ok(&[])),
    ];
    for (members, is_top, is_delegated, expected) in table {
        let (available, enabled) = (Vec::new(), Vec::new());
        let members = members.to_vec();
        let state = GroupState { available, enabled, members, is_top, is_delegated };
        assert_eq!(state.leaving(OWN), expected, "{state:?}");
    }
}

#[test]
fn a_group_without_a_controller_is_named_with_it() {
    let folder = group(&[("cgroup.type", "domain"), ("cgroup.controllers", "memory")]);
    let error = Delegation::make(folder.path(), OWN, false, &["memory", "pids"], &[]).unwrap_err();
    let text = format!("{} has no pids controller", folder.path().display());
    assert_eq!(error.to_string(), text);
}

/// A group of the kernel's version 2 hierarchy, with processes in it and a controller to enable.
struct Lab {
    folder: PathBuf,
    controller: String,
    processes: Vec<Child>,
    /// The controller was made available for the lab alone.
    is_new: bool,
    /// Labs share the top of the hierarchy.
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

impl Lab {
    fn new(name: &str, processes: usize) -> Result<Self, skip::Reason> {
        skip::root()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut two = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
        let top = two.next().and_then(|line| line.split(' ').nth(4)).map(PathBuf::from);
        let top = top.ok_or_else(|| skip::Reason::impossible("no hierarchy of version 2"))?;
        let folder = top.join(format!("sky-island-test-{name}-{}", std::process::id()));
        let turn = TURN.lock();
        let state = GroupState::read(&top);
        let controller = state.enabled.iter().chain(&state.available).next().cloned();
        let why = "the hierarchy of version 2 has no controller";
        let controller = controller.ok_or_else(|| skip::Reason::impossible(why))?;
        let is_new = !state.enabled.contains(&controller);
        enable(&top, &[controller.as_str()]).map_err(skip::Reason::impossible)?;
        fs::create_dir(&folder).unwrap();
        let mut lab = Self { folder, controller, processes: Vec::new(), is_new, _turn: turn };
        for _ in 0..processes {
            let child = Command::new("sleep").arg("600").spawn().unwrap();
            fs::write(lab.folder.join(PROCESSES), child.id().to_string()).unwrap();
            lab.processes.push(child);
        }
        Ok(lab)
    }

    fn make(&self) -> Result<Delegation, CgroupError> {
        self.make_where(false)
    }

    fn make_where(&self, handed_over: bool) -> Result<Delegation, CgroupError> {
        let (own, required) = (self.pids()[0], [self.controller.as_str()]);
        Delegation::make(&self.folder, own, handed_over, &required, &["no-such"])
    }

    fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Child::id).collect()
    }

    fn members(&self, below: &str) -> Vec<u32> {
        GroupState::read(&self.folder.join(below)).members
    }

    /// The group is as it was when it was made.
    fn is_untouched(&self) -> bool {
        let state = GroupState::read(&self.folder);
        let children = fs::read_dir(&self.folder).unwrap().flatten();
        let has_children = children.into_iter().any(|entry| entry.path().is_dir());
        state.members == self.pids() && state.enabled.is_empty() && !has_children
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir(self.folder.join(&LEAF[1..]));
        let _ = fs::remove_dir(&self.folder);
        if let (true, Some(top)) = (self.is_new, self.folder.parent()) {
            let _ = fs::write(top.join(SUBTREE), format!("-{}", self.controller));
        }
    }
}

/// Runs a test in a group of the kernel's, or skips it.
fn in_lab(name: &str, processes: usize, test: impl FnOnce(&Lab)) {
    match Lab::new(name, processes) {
        Ok(lab) => test(&lab),
        Err(why) => skip::skip("groups of version 2", &why),
    }
}

#[test]
fn a_server_alone_moves_aside_and_back() {
    in_lab("alone", 1, |lab| {
        let mut made = lab.make().unwrap();
        assert_eq!((lab.members(""), lab.members(&LEAF[1..])), (vec![], lab.pids()));
        assert_eq!(enabled(&lab.folder), std::slice::from_ref(&lab.controller));
        made.undo();
        assert!(lab.is_untouched());
    });
}

#[test]
fn what_another_server_still_needs_is_not_undone() {
    in_lab("shared", 1, |lab| {
        let mut made = lab.make().unwrap();
        let other = lab.folder.join("other");
        fs::create_dir(&other).unwrap();
        enable(&other, &[lab.controller.as_str()]).unwrap();
        made.undo();
        let kept = (lab.members(&LEAF[1..]), enabled(&lab.folder));
        fs::write(other.join(SUBTREE), format!("-{}", lab.controller)).unwrap();
        fs::remove_dir(other).unwrap();
        assert_eq!(kept, (lab.pids(), vec![lab.controller.clone()]));
    });
}

#[test]
fn a_group_that_others_use_stays_as_it_is() {
    in_lab("others", 2, |lab| {
        let error = lab.make().unwrap_err().to_string();
        // The name of a process that has just started may still be its parent's.
        assert!(error.contains(&format!(" {})", lab.pids()[1])), "{error}");
        assert!(lab.is_untouched());
    });
}

#[test]
fn all_processes_of_a_group_that_was_handed_over_move_aside_and_back() {
    in_lab("handed-over", 3, |lab| {
        let path = std::ffi::CString::new(lab.folder.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: both names end with a zero, and the value is one byte long.
        let set =
            unsafe { libc::setxattr(path.as_ptr(), MARKS[0].as_ptr(), b"1".as_ptr().cast(), 1, 0) };
        if set != 0 {
            let why = io::Error::last_os_error();
            return skip::skip("a mark on a group", &skip::Reason::impossible(why));
        }
        all_move_aside_and_back(lab, lab.make());
    });
}

#[test]
fn a_users_systemd_hands_a_group_over_without_a_mark() {
    in_lab("handed-over-by-a-user", 3, |lab| {
        assert!(matches!(lab.make(), Err(CgroupError::Occupied { .. })));
        all_move_aside_and_back(lab, lab.make_where(true));
    });
}

fn all_move_aside_and_back(lab: &Lab, made: Result<Delegation, CgroupError>) {
    let mut moved = lab.members(&LEAF[1..]);
    moved.sort_unstable();
    assert_eq!((lab.members(""), moved), (vec![], lab.pids()));
    made.unwrap().undo();
    assert!(lab.is_untouched());
}
