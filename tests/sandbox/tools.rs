//! What the islands of tools see, reach and may change.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use island::{
    Bind, Disk, Ending, FolderOwner, Label, Limits, Overlay, Program, Purpose, Rights, Setup, Spec,
    ToolRights,
};

use super::files::{Markers, but_dates};
use super::host::{Host, limits, not_given, promise, read, say};
use super::platform;
use super::rights::Rights as Ids;
use crate::sandbox::offers::Offers;

const BOTH: [Purpose; 2] = [Purpose::Fetch, Purpose::Build];

/// Folders of the host that a tool's island is given.
struct Site {
    folder: tempfile::TempDir,
    owner: Option<FolderOwner>,
}

impl Site {
    fn new(host: &Host, purpose: Purpose) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), owner: host.backend.owner(purpose) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder with one file; a tool's user may write in it as far as the host is concerned.
    fn folder(&self, name: &str, files: &[&str]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        self.hand_over(&path);
        for file in files {
            fs::write(path.join(file), "original").unwrap();
            self.hand_over(&path.join(file));
        }
        path
    }

    fn hand_over(&self, path: &Path) {
        if let Some(owner) = self.owner {
            owner.take(path).unwrap();
        }
    }
}

/// A tool's island whose program does this.
pub fn tool(host: &Host, purpose: Purpose, deed: &[&str], binds: Vec<Bind>) -> Spec {
    let args = ["tool"].iter().chain(deed).map(|text| (*text).to_owned()).collect();
    let rights = Rights::Tool(ToolRights { purpose, binds, overlay: None, background: false });
    let Limits { resources, bounds } = limits();
    Spec {
        setup: Setup { rights, resources, address: None },
        bounds,
        program: Program::File(host.program()),
        args,
        env: Vec::new(),
        folder: "/".into(),
        stdin: Vec::new(),
        arguments: None,
        label: Label::default(),
    }
}

fn bind(source: &Path, target: &str, writable: bool) -> Bind {
    Bind { source: source.into(), target: target.into(), writable }
}

#[test]
fn an_island_that_cannot_be_made_says_why_and_is_no_others_fault() {
    promise(|host| {
        let missing = Path::new("/no/such/file");
        let spec = tool(host, Purpose::Build, &["read"], vec![bind(missing, "/seen", false)]);
        let error = host.runtime.block_on(host.islands.run(&spec)).unwrap_err().to_string();
        assert!(error.contains("/no/such/file"), "{error}");
    });
}

#[test]
fn a_build_reaches_no_network_at_all() {
    promise(|host| {
        let offers = Offers::open();
        let pairs = offers.pairs();
        let deed = reach(&pairs);
        let found: BTreeMap<String, String> =
            read(&host.run(&tool(host, Purpose::Build, &deed, Vec::new())));
        let reached: Vec<_> = found.iter().filter(|(_, said)| *said == "done").collect();
        assert!(reached.is_empty() && found.len() == pairs.len(), "{found:?}");
        offers.were_not_used();
    });
}

#[test]
fn a_fetch_reaches_its_gate_alone_or_what_the_host_reaches() {
    promise(|host| match host.backend.capabilities().gates {
        true => reaches_its_gate_alone(host),
        false => reaches_what_the_host_reaches(host),
    });
}

fn reaches_its_gate_alone(host: &Host) {
    let site = Site::new(host, Purpose::Fetch);
    let socket = site.path("gate");
    let gate = UnixListener::bind(&socket).unwrap();
    site.hand_over(&socket);
    let offers = Offers::open();
    let mut pairs = offers.pairs();
    // Its own loopback, where nothing listens, and the socket in its root.
    pairs.extend([("tcp", "127.0.0.1:9".to_owned()), ("unix", "/gate".to_owned())]);
    let deed = reach(&pairs);
    let binds = vec![bind(&socket, "/gate", false)];
    let found: BTreeMap<String, String> =
        read(&host.run(&tool(host, Purpose::Fetch, &deed, binds)));
    // A datagram to its own loopback is sent, and goes nowhere.
    let reached = |(to, said): &(&String, &String)| *said == "done" && !to.starts_with("udp 127.");
    let reached: Vec<_> = found.iter().filter(reached).map(|(to, _)| to.as_str()).collect();
    assert!(reached == ["unix /gate"] && found.len() == pairs.len(), "{found:?}");
    assert!(found["tcp 127.0.0.1:9"].contains("refused"), "loopback is not up: {found:?}");
    offers.were_not_used();
    drop(gate);
}

fn reaches_what_the_host_reaches(host: &Host) {
    let offers = Offers::open();
    let pairs = offers.pairs();
    let deed = reach(&pairs);
    let found: BTreeMap<String, String> =
        read(&host.run(&tool(host, Purpose::Fetch, &deed, Vec::new())));
    assert!(found.iter().any(|(to, said)| to.starts_with("tcp") && said == "done"), "{found:?}");
    // A socket of the host with a name is a door to programs that trust every client.
    if let Some((to, said)) = found.iter().find(|(to, _)| to.starts_with("unix")) {
        match said.as_str() {
            "done" => not_given("sockets of the host closed to a fetch", to),
            _ => assert!(!said.is_empty()),
        }
    }
}

fn reach<'a>(pairs: &'a [(&'static str, String)]) -> Vec<&'a str> {
    let flat = pairs.iter().flat_map(|(network, address)| [*network, address.as_str()]);
    ["reach"].into_iter().chain(flat).collect()
}

#[test]
fn a_tool_sees_nothing_of_the_host_that_it_was_not_given() {
    promise(|host| {
        for purpose in BOTH {
            let site = Site::new(host, purpose);
            let secret = site.folder("state", &["secret"]).display().to_string();
            let (markers, hidden) = (Markers::put(), platform::hidden_from_tools());
            let paths = hidden.iter().map(String::as_str).chain(markers.paths());
            let deed: Vec<&str> = ["see", &secret].into_iter().chain(paths).collect();
            let found: BTreeMap<String, String> =
                read(&host.run(&tool(host, purpose, &deed, Vec::new())));
            for (path, seen) in found {
                assert_eq!(seen, "absent", "{purpose:?} {path}");
            }
        }
    });
}

#[test]
fn a_tool_changes_nothing_of_the_host_that_it_may_not() {
    promise(|host| {
        for purpose in BOTH {
            let site = Site::new(host, purpose);
            let given = site.folder("given", &["file"]);
            let deed: Vec<&str> =
                ["writable"].iter().chain(platform::FOLDERS_OF_A_TOOLS_OWN).copied().collect();
            let spec = tool(host, purpose, &deed, vec![bind(&given, "/given", false)]);
            let changed: Vec<String> = read(&host.run(&spec));
            assert_eq!(but_dates(changed), [""; 0], "{purpose:?}");
            assert_eq!(fs::read_to_string(given.join("file")).unwrap(), "original");
        }
    });
}

#[test]
fn a_tool_changes_what_it_may() {
    promise(|host| {
        for purpose in BOTH {
            let site = Site::new(host, purpose);
            let (out, given) = (site.folder("out", &[]), site.folder("given", &["file"]));
            let deed = ["write", "/out/new", "/given/file", "/given/new", "/new"];
            let binds = vec![bind(&out, "/out", true), bind(&given, "/given", false)];
            let found: BTreeMap<String, String> =
                read(&host.run(&tool(host, purpose, &deed, binds)));
            for (path, said) in found {
                assert_eq!(said == "done", path == "/out/new", "{purpose:?} {path}: {said}");
            }
            assert_eq!(fs::read_to_string(out.join("new")).unwrap(), "written");
            assert_eq!(fs::read_dir(&given).unwrap().count(), 1);
        }
    });
}

#[test]
fn a_tool_is_unprivileged_and_has_only_its_input_and_outputs_open() {
    promise(|host| {
        for purpose in BOTH {
            let found: Ids = read(&host.run(&tool(host, purpose, &["rights"], Vec::new())));
            assert!(found.are_unprivileged(), "{purpose:?} {found:?}");
            let spec = tool(host, purpose, &["descriptors-at-start"], Vec::new());
            assert_eq!(read::<Vec<i32>>(&host.run(&spec)), [0, 1, 2]);
        }
    });
}

#[test]
fn what_a_tool_writes_over_a_layer_leaves_the_layer_as_it_was() {
    promise(|host| {
        if !host.backend.capabilities().overlays {
            return not_given("layers of folders", "this system lays none over each other well");
        }
        let site = Site::new(host, Purpose::Build);
        let lower = site.folder("lower", &["kept", "removed"]);
        let (upper, work) = (site.folder("upper", &[]), site.folder("work", &[]));
        let mut spec = tool(host, Purpose::Build, &["layer", "/layers"], Vec::new());
        let overlay = Overlay {
            lower: vec![lower.clone()],
            upper: upper.clone(),
            work,
            target: "/layers".into(),
        };
        if let Rights::Tool(rights) = &mut spec.setup.rights {
            rights.overlay = Some(overlay);
        }
        let found: BTreeMap<String, String> = read(&host.run(&spec));
        assert_eq!(found["before"], "original");
        for change in ["rewrite", "remove", "add"] {
            assert_eq!(found[change], "done", "{change}");
        }
        for file in ["kept", "removed"] {
            assert_eq!(fs::read_to_string(lower.join(file)).unwrap(), "original");
        }
        assert!(!lower.join("added").exists());
        assert_eq!(fs::read_to_string(upper.join("kept")).unwrap(), "changed");
        // The next island on the same layers sees what this one left.
        let again: BTreeMap<String, String> = read(&host.run(&spec));
        assert_eq!(again["before"], "changed");
    });
}

#[test]
fn a_tool_that_fills_its_folder_is_ended_for_it() {
    promise(|host| {
        let site = Site::new(host, Purpose::Build);
        let out = site.folder("out", &[]);
        let mut spec =
            tool(host, Purpose::Build, &["hoard", "/out"], vec![bind(&out, "/out", true)]);
        spec.setup.resources.disk = Some(Disk { folders: vec![out.clone()], bytes: 4 << 20 });
        assert_eq!(host.run(&spec).ending, Ending::Disk);
    });
}

#[test]
fn a_tool_that_was_quick_to_fill_its_folder_is_found_out_as_well() {
    promise(|host| {
        let site = Site::new(host, Purpose::Build);
        let out = site.folder("out", &[]);
        let deed = ["fill", "/out/large"];
        let mut spec = tool(host, Purpose::Build, &deed, vec![bind(&out, "/out", true)]);
        // One file may be as large as all may be, so two of them are too much.
        spec.setup.resources.disk =
            Some(Disk { folders: vec![site.folder.path().into()], bytes: 1 << 20 });
        fs::write(site.path("before"), vec![1; 1 << 19]).unwrap();
        assert_eq!(host.run(&spec).ending, Ending::Disk);
    });
}

#[test]
fn what_lies_too_deep_to_be_measured_is_too_much() {
    promise(|host| {
        let site = Site::new(host, Purpose::Fetch);
        let out = site.folder("out", &[]);
        let deed = ["dig", "/out", "3000"];
        let mut spec = tool(host, Purpose::Fetch, &deed, vec![bind(&out, "/out", true)]);
        spec.setup.resources.disk = Some(Disk { folders: vec![out.clone()], bytes: 1 << 30 });
        assert_eq!(host.run(&spec).ending, Ending::Disk);
        // Not every library call removes such a tree.
        let cleared = std::process::Command::new("rm").arg("-rf").arg(&out).status();
        if !cleared.is_ok_and(|status| status.success()) {
            say(format_args!("{} is left", out.display()));
        }
    });
}

#[test]
fn a_bind_of_a_file_shows_that_file_alone() {
    promise(|host| {
        let site = Site::new(host, Purpose::Build);
        let folder = site.folder("folder", &["one", "two"]);
        fs::set_permissions(folder.join("one"), fs::Permissions::from_mode(0o644)).unwrap();
        let binds = vec![bind(&folder.join("one"), "/given/one", false)];
        let deed = ["see", "/given/one", "/given/two", "/given"];
        let found: BTreeMap<String, String> =
            read(&host.run(&tool(host, Purpose::Build, &deed, binds)));
        assert_eq!(found["/given/one"], "reads original");
        assert_eq!(found["/given/two"], "absent");
        assert_eq!(found["/given"], "a folder of 1");
    });
}
