//! The hierarchies of control groups that the host has mounted, and this process's groups in them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The controllers that an island needs.
pub(crate) const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// The controller that divides the processors.
const CPU: &str = "cpu";

/// The version of the kernel's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    One,
    Two,
}

/// The child group that the server's own process moves to.
pub(crate) const LEAF: &str = "/sky-island-server";

/// The host's hierarchies of groups, and the groups of this process in them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CgroupLayout {
    pub(crate) version: Version,
    /// The folder of this process's own group in each hierarchy.
    pub(crate) own: Vec<PathBuf>,
    /// The top folder of each hierarchy.
    pub(crate) top: Vec<PathBuf>,
    /// The hierarchy that divides the processors, if it is one of its own (version 1): the folder
    /// of this process's own group in it, and the top folder.
    pub(crate) cpu: Option<[PathBuf; 2]>,
}

impl CgroupLayout {
    /// Every folder that the home of a server may lie in.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &PathBuf> {
        self.own.iter().chain(&self.top).chain(self.cpu.iter().flatten())
    }

    /// Reads mountinfo and /proc/self/cgroup (proc(5), cgroups(7)). `controllers` returns the
    /// contents of the cgroup.controllers file of a version 2 folder.
    pub(crate) fn find(
        mountinfo: &str,
        own: &str,
        controllers: &dyn Fn(&Path) -> String,
    ) -> Option<Self> {
        let mounts: Vec<(PathBuf, String, String)> =
            mountinfo.lines().filter_map(cgroup_mount).collect();
        let own_in = |id: &dyn Fn(&str, &str) -> bool| {
            own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (number, names) = (parts.next()?, parts.next()?);
                id(number, names).then(|| parts.next())?
            })
        };
        let below = |top: &Path, path: &str| top.join(path.trim_start_matches('/'));
        if let Some((top, ..)) = mounts.iter().find(|(_, kind, _)| kind == "cgroup2") {
            let has = controllers(top);
            if CONTROLLERS.iter().all(|name| has.split_whitespace().any(|token| token == *name)) {
                let path = own_in(&|number, names| number == "0" && names.is_empty())?;
                // A server that took over from another starts in the leaf of that server.
                let path = path.strip_suffix(LEAF).unwrap_or(path);
                return Some(Self {
                    version: Version::Two,
                    own: vec![below(top, path)],
                    top: vec![top.clone()],
                    cpu: None,
                });
            }
        }
        let hierarchy = |controller: &str| {
            let named = |names: &str| names.split(',').any(|name| name == controller);
            let (top, ..) =
                mounts.iter().find(|(_, kind, names)| kind == "cgroup" && named(names))?;
            Some([below(top, own_in(&|_, names| named(names))?), top.clone()])
        };
        let (mut own, mut top) = (Vec::new(), Vec::new());
        for controller in CONTROLLERS {
            let [own_group, top_group] = hierarchy(controller)?;
            own.push(own_group);
            top.push(top_group);
        }
        // One that is mounted together with another controller has these groups already.
        let cpu = hierarchy(CPU).filter(|[own_group, _]| !own.contains(own_group));
        Some(Self { version: Version::One, own, top, cpu })
    }
}

/// The mount point, type and super options of a line of mountinfo, if it is a cgroup hierarchy.
fn cgroup_mount(line: &str) -> Option<(PathBuf, String, String)> {
    let (front, back) = line.split_once(" - ")?;
    let point = front.split(' ').nth(4)?;
    let mut back = back.split(' ');
    let kind = back.next()?;
    let options = back.nth(1)?;
    kind.starts_with("cgroup").then(|| (point.into(), kind.to_owned(), options.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
36 30 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
38 30 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    const PURE: &str =
        "26 23 0:24 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn version_two_is_used_where_it_has_the_controllers() {
        let own = "0::/user.slice/user-1000.slice/session.scope";
        let layout =
            CgroupLayout::find(PURE, own, &|_| "cpuset cpu io memory pids\n".into()).unwrap();
        assert_eq!(layout.version, Version::Two);
        let path = "/sys/fs/cgroup/user.slice/user-1000.slice/session.scope";
        assert_eq!(layout.own, [PathBuf::from(path)]);
        // The leaf of a server that this one took over from.
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
        assert_eq!(layout.cpu, None);
    }

    #[test]
    fn the_hierarchy_of_the_processors_is_found_under_each_of_its_names() {
        for (names, path) in [("cpu", "/cpu"), ("cpu,cpuacct", "/cpu,cpuacct")] {
            let mount = format!("30 23 0:26 / /sys/fs/cgroup{path} rw - cgroup cgroup rw,{names}");
            let own = format!("5:pids:/\n4:memory:/box\n3:{names}:/service");
            let layout = CgroupLayout::find(&format!("{HYBRID}\n{mount}"), &own, &|_| "".into());
            let expected =
                [format!("/sys/fs/cgroup{path}/service"), format!("/sys/fs/cgroup{path}")];
            assert_eq!(layout.unwrap().cpu, Some(expected.map(PathBuf::from)), "{names}");
        }
        // Together with another controller the same folders have both.
        let mounts = "\
33 30 0:29 / /cg/memory rw - cgroup cgroup rw,memory,cpu
36 30 0:32 / /cg/pids rw - cgroup cgroup rw,pids";
        let layout = CgroupLayout::find(mounts, "5:pids:/\n4:memory,cpu:/", &|_| "".into());
        assert_eq!(layout.unwrap().cpu, None);
    }

    #[test]
    fn a_host_without_the_controllers_has_no_layout() {
        assert_eq!(CgroupLayout::find(PURE, "0::/", &|_| "cpu io".into()), None);
        assert_eq!(CgroupLayout::find("", "", &|_| String::new()), None);
    }
}
