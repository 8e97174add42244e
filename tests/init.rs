//! Preparing a host, on a model of ZFS: what is made, what is refused, and every way to be
//! interrupted.

mod init_support;

use common::causes::chain;
use host::layout::{Layout, Release};
use server::init::{Mirror, SetName, Sha256};
use server::state::State;

use init_support::faults::Kind;
use init_support::site::Behaviour;
use init_support::sweep;
use init_support::world::{
    Pool, World, base_archive, go_archive, go_archive_for, lib32_archive, sum_of, version,
};

/// The error of a run with its causes, as people see it.
fn failure_of(world: &World) -> String {
    chain(&world.run(None).result.expect_err("it must fail"))
}

#[test]
fn a_host_is_prepared_from_nothing() {
    let world = World::model();
    world.run(None).result.unwrap();
    let names = world.datasets();
    let expected = [
        "tank",
        "tank/jails",
        "tank/jails/artifacts",
        "tank/jails/build",
        "tank/jails/build@p1",
        "tank/jails/releases",
        "tank/jails/releases/15.1-RELEASE",
        "tank/jails/releases/15.1-RELEASE@p1",
        "tank/jails/run",
    ];
    let found: Vec<_> = names.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(found, expected);
    let property = |name: &str, property: &str| world.zfs(&["get", property, name]).stdout;
    assert_eq!(property("tank/jails/run", "sync"), "disabled\n");
    assert_eq!(property("tank/jails/artifacts", "sync"), "-\n");
    for below in ["tank/jails/run", "tank/jails/build", "tank/jails/releases/15.1-RELEASE"] {
        assert_eq!(property(below, "setuid"), "off\n");
        assert_eq!(property(below, "atime"), "off\n");
        assert_eq!(property(below, "compression"), "on\n");
    }
    let folder = world.wanted.layout.folder();
    let text = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    for root in ["releases/15.1-RELEASE", "build"] {
        assert_eq!(text(&format!("{root}/etc/resolv.conf")), "nameserver 10.0.2.3\n");
        assert_eq!(text(&format!("{root}/etc/localtime")), "TZif2...");
        assert_eq!(text(&format!("{root}/etc/motd")), "patched\n");
        assert_eq!(text(&format!("{root}/usr/lib32/libc.so.7")), "32");
    }
    assert!(
        !folder.join("releases/15.1-RELEASE/usr/local/go").exists(),
        "Go is in the base system"
    );
    assert!(text("build/usr/local/go/VERSION").starts_with("go1.27.3\n"));
    let files = world.files(folder);
    assert_eq!(files["build/go/src"], "40777 folder");
    assert!(files["releases/15.1-RELEASE/bin/su"].starts_with("104555 "));
    assert!(files["releases/15.1-RELEASE/bin/su2"].ends_with("links 2"));
    assert!(!files.keys().any(|name| name.contains("downloads") || name.contains(".part")));
}

#[test]
fn run_again_it_only_looks() {
    let world = World::model();
    world.run(None).result.unwrap();
    let before = world.look();
    world.site.asked();
    let ran = world.run(None);
    ran.result.unwrap();
    let acted: Vec<_> = ran.commands.iter().filter(|command| sweep::acts(command)).collect();
    assert!(acted.is_empty(), "{acted:?}");
    assert!(world.site.asked().is_empty());
    assert!(ran.said.lines().all(|line| line.ends_with(": there already")), "{}", ran.said);
    assert_eq!(world.look(), before);
}

#[test]
fn a_command_that_fails_anywhere_leaves_nothing_that_counts_as_done() {
    sweep::init_fails_at_each_command(World::model, |_| true, Kind::Before);
}

#[test]
fn an_interruption_after_any_command_leaves_nothing_that_counts_as_done() {
    sweep::init_fails_at_each_command(World::model, sweep::acts, Kind::After);
}

#[test]
fn an_extraction_that_was_killed_half_way_is_begun_anew() {
    sweep::init_fails_at_each_command(
        World::model,
        |command| command.starts_with("tar"),
        Kind::Half,
    );
}

#[test]
fn a_dataset_that_a_killed_run_left_busy_is_waited_for() {
    let world = World::model();
    let ran = world.run(None);
    ran.result.unwrap();
    let at = ran.commands.iter().position(|command| command.starts_with("tar")).unwrap();
    let world = World::model();
    world.run_until(at);
    let Pool::Model(model) = &*world.pool else { panic!("the world is a model") };
    model.keep_busy(3);
    let ran = world.run(None);
    ran.result.unwrap();
    assert_eq!(model.is_busy(), 0);
    let waits = "waiting for tank/jails/releases/";
    assert_eq!(ran.said.matches(waits).count(), 1, "{}", ran.said);
}

#[test]
fn it_can_be_dropped_at_any_command() {
    sweep::init_fails_at_each_command(World::model, sweep::acts, Kind::Hang);
}

#[test]
fn archives_on_this_host_are_used_and_checked() {
    let mut world = World::model();
    let folder = world.folder.path().join("sets");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("base.txz"), base_archive()).unwrap();
    world.wanted.set_dir = Some(folder.clone());
    world.run(None).result.unwrap();
    let asked = world.site.asked();
    assert!(asked.iter().any(|path| path.ends_with("/MANIFEST")), "{asked:?}");
    assert!(asked.iter().any(|path| path.ends_with("/lib32.txz")), "{asked:?}");
    assert!(!asked.iter().any(|path| path.ends_with("/base.txz")), "{asked:?}");
}

#[test]
fn with_all_archives_on_this_host_no_site_is_asked() {
    let mut world = World::model();
    let folder = world.folder.path().join("sets");
    std::fs::create_dir(&folder).unwrap();
    let mut manifest = String::new();
    for (name, bytes) in [("base", base_archive()), ("lib32", lib32_archive())] {
        manifest += &format!("{name}.txz\t{}\t9\t{name}\t\"x\"\ton\n", sum_of(&bytes));
        std::fs::write(folder.join(format!("{name}.txz")), bytes).unwrap();
    }
    std::fs::write(folder.join("MANIFEST"), manifest).unwrap();
    let go = folder.join("go1.27.3.freebsd-amd64.tar.gz");
    std::fs::write(&go, go_archive("1.27.3")).unwrap();
    let beside = format!("{}  go1.27.3.freebsd-amd64.tar.gz\n", sum_of(&go_archive("1.27.3")));
    std::fs::write(folder.join("go1.27.3.freebsd-amd64.tar.gz.sha256"), beside).unwrap();
    world.wanted.set_dir = Some(folder.clone());
    world.wanted.go.archive = Some(go);
    world.run(None).result.unwrap();
    assert_eq!(world.site.asked(), [""; 0]);
    assert!(folder.join("base.txz").exists(), "the admin's own archives stay");
}

#[test]
fn a_local_archive_with_another_sum_is_refused_and_kept() {
    let mut world = World::model();
    let folder = world.folder.path().join("sets");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("base.txz"), b"not it").unwrap();
    world.wanted.set_dir = Some(folder.clone());
    let said = failure_of(&world);
    assert!(
        said.contains("base.txz has the SHA-256 sum") && said.contains("move this one away"),
        "{said}"
    );
    assert!(folder.join("base.txz").exists());
    assert!(
        !world.datasets().iter().any(|name| name.starts_with("tank/jails/releases/15.1-RELEASE "))
    );
}

#[test]
fn an_archive_that_rotted_after_its_download_is_removed() {
    let world = World::model();
    // Interrupted just before the extraction.
    let ran = world.run(None);
    ran.result.unwrap();
    let create = ran
        .commands
        .iter()
        .position(|c| c.ends_with("15.1-RELEASE.part") && c.starts_with("zfs create"));
    let world = World::model();
    world.run_until(create.unwrap());
    let archive = world.wanted.layout.folder().join("releases/downloads/15.1-RELEASE-base.txz");
    std::fs::write(&archive, b"rotten").unwrap();
    let said = failure_of(&world);
    assert!(said.contains("run init again to download it again"), "{said}");
    assert!(!archive.exists());
    world.run(None).result.unwrap();
}

#[test]
fn a_wrong_sum_on_the_site_is_one_clear_sentence() {
    let world = World::model();
    world.site.put("/releases/amd64/amd64/15.1-RELEASE/base.txz", b"evil".to_vec());
    let said = failure_of(&world);
    assert!(
        said.contains("/base.txz has the SHA-256 sum") && said.contains("was published"),
        "{said}"
    );
    let names = world.datasets();
    assert!(!names.iter().any(|name| name.contains("15.1-RELEASE")), "{names:?}");
}

#[test]
fn downloads_that_break_off_are_taken_up_by_the_next_run() {
    let world = World::model();
    world.site.behave(Behaviour { ranges: true, breaks: (usize::MAX, 10_000) });
    let said = failure_of(&world);
    assert!(said.contains("run init again to go on"), "{said}");
    world.site.behave(Behaviour::default());
    world.site.asked();
    world.run(None).result.unwrap();
    let asked = world.site.asked();
    assert!(asked.iter().any(|path| path.contains("/base.txz from ")), "{asked:?}");
}

#[test]
fn what_stands_against_it_is_said_before_anything_is_made() {
    let table: [(fn(&mut World), &str); 8] = [
        (|world| world.wanted.user = 1001, "only root can prepare a host"),
        (
            |world| {
                let release = Release::parse("15.1-RELEASE").unwrap();
                world.wanted.layout = Layout::new("nopool", None, release).unwrap();
            },
            "there is no dataset nopool",
        ),
        (|world| world.wanted.space.base = 1 << 50, "1.0 PiB are needed"),
        (
            |world| {
                let folder = world.wanted.layout.folder();
                std::fs::create_dir(folder).unwrap();
                std::fs::write(folder.join("thesis"), "years of work").unwrap();
            },
            "is not an empty folder",
        ),
        (
            |world| {
                let folder = world.wanted.layout.folder().display().to_string();
                let mountpoint = format!("mountpoint={folder}");
                world.zfs(&["create", "-o", &mountpoint, "tank/jails"]);
            },
            "tank/jails was not made by init",
        ),
        (
            |world| {
                let release = Release::parse("15.1-STABLE").unwrap();
                let folder = world.wanted.layout.folder().to_owned();
                world.wanted.layout = Layout::new("tank", Some(&folder), release).unwrap();
            },
            "freebsd-update has nothing for 15.1-STABLE",
        ),
        (
            |world| {
                let mut state = State::open(world.wanted.state_dir.clone()).unwrap();
                state.announce("http://127.0.0.1:3281");
                std::mem::forget(state);
            },
            "stop it first",
        ),
        (
            |world| {
                let file = std::fs::File::create(&world.wanted.lock).unwrap();
                let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive);
                std::mem::forget(lock);
            },
            "another init or destroy is at work",
        ),
    ];
    for (prepare, expected) in table {
        let mut world = World::model();
        prepare(&mut world);
        let before = world.look();
        let said = failure_of(&world);
        assert!(said.contains(expected), "{said}");
        assert_eq!(world.look(), before, "{expected}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn what_cannot_be_had_is_said_with_what_to_do() {
    let sum = Sha256::parse(&"0".repeat(64)).unwrap();
    let table: [(&dyn Fn(&mut World), &str); 7] = [
        (
            &|world| {
                let release = Release::parse("15.2-RELEASE").unwrap();
                let folder = world.wanted.layout.folder().to_owned();
                world.wanted.layout = Layout::new("tank", Some(&folder), release).unwrap();
            },
            "15.2-RELEASE/MANIFEST; set release",
        ),
        (
            &|world| world.wanted.sets.push(SetName::parse("games").unwrap()),
            "the MANIFEST has no games; base_packages can have: base, lib32",
        ),
        (&|world| world.wanted.go.version = version("1.27.9"), "set go_sha256"),
        (&|world| world.wanted.go.sum = Some(sum.clone()), "was published; nothing of it was used"),
        (
            &|world| {
                let wrong = go_archive("1.27.4");
                world.wanted.go.sum = Some(sum_of(&wrong));
                world.site.put("/go1.27.3.freebsd-amd64.tar.gz", wrong);
            },
            "has Go 1.27.4, but go_version says 1.27.3",
        ),
        (
            &|world| {
                let wrong = go_archive_for("1.27.3", "linux_amd64");
                world.wanted.go.sum = Some(sum_of(&wrong));
                world.site.put("/go1.27.3.freebsd-amd64.tar.gz", wrong);
            },
            "has no Go for freebsd_amd64, but go_version says 1.27.3",
        ),
        (
            &|world| {
                world.wanted.go.archive = Some("/nowhere/go1.27.3.freebsd-amd64.tar.gz".into())
            },
            "cannot find go_tarball: /nowhere/go1.27.3.freebsd-amd64.tar.gz",
        ),
    ];
    for (prepare, expected) in table {
        let mut world = World::model();
        prepare(&mut world);
        let said = failure_of(&world);
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn a_mirror_of_files_says_gos_sum_beside_its_archive() {
    let mut world = World::model();
    let sum = sum_of(&go_archive("1.27.3"));
    world.site.put("/files/go1.27.3.freebsd-amd64.tar.gz", go_archive("1.27.3"));
    world.site.put("/files/go1.27.3.freebsd-amd64.tar.gz.sha256", sum.to_string());
    world.wanted.go.mirror = Mirror::parse(&format!("{}/files", world.site.url())).unwrap();
    world.run(None).result.unwrap();
}

#[test]
fn name_servers_of_the_configuration_win_over_the_hosts() {
    let mut world = World::model();
    world.wanted.dns = vec!["4.2.2.1".parse().unwrap(), "4.2.2.2".parse().unwrap()];
    world.run(None).result.unwrap();
    let path = world.wanted.layout.folder().join("build/etc/resolv.conf");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "nameserver 4.2.2.1\nnameserver 4.2.2.2\n");
}

#[test]
fn a_host_without_resolv_conf_and_localtime_is_told_so() {
    let world = World::model();
    for file in ["resolv.conf", "localtime"] {
        std::fs::remove_file(world.wanted.etc.join(file)).unwrap();
    }
    let ran = world.run(None);
    ran.result.unwrap();
    assert!(ran.said.contains("will not resolve names of hosts"), "{}", ran.said);
    assert!(!world.wanted.layout.folder().join("build/etc/localtime").exists());
}

#[test]
fn another_go_replaces_the_build_jail_and_nothing_else() {
    let mut world = World::model();
    world.run(None).result.unwrap();
    world.wanted.go.version = version("1.27.4");
    let ran = world.run(None);
    ran.result.unwrap();
    let extracted = ran.commands.iter().filter(|command| command.starts_with("tar")).count();
    assert_eq!(extracted, 1, "{:?}", ran.commands);
    let text = world.wanted.layout.folder().join("build/usr/local/go/VERSION");
    assert!(std::fs::read_to_string(text).unwrap().starts_with("go1.27.4\n"));
}

#[test]
fn a_build_jail_that_is_in_use_is_not_replaced() {
    let mut world = World::model();
    world.run(None).result.unwrap();
    world.zfs(&["clone", "tank/jails/build@p1", "tank/jails/run/si_1"]);
    world.wanted.go.version = version("1.27.4");
    let said = failure_of(&world);
    assert!(said.contains("depend on the dataset"), "{said}");
    let text = world.wanted.layout.folder().join("build/usr/local/go/VERSION");
    assert!(std::fs::read_to_string(text).unwrap().starts_with("go1.27.3\n"));
    // The one that was begun goes when it is no longer wanted.
    world.wanted.go.version = version("1.27.3");
    world.run(None).result.unwrap();
    assert!(!world.datasets().iter().any(|name| name.contains(".part")));
}

#[test]
fn other_sets_than_a_base_system_has_are_refused() {
    let mut world = World::model();
    world.run(None).result.unwrap();
    world.wanted.sets = vec![SetName::base()];
    let said = failure_of(&world);
    assert!(said.contains("was made of base+lib32, but base_packages says base"), "{said}");
}

#[test]
fn sets_that_changed_before_the_base_system_was_finished_are_not_mixed() {
    let mut world = World::model();
    let ran = world.run(None);
    ran.result.unwrap();
    let update = ran.commands.iter().position(|c| c.starts_with("freebsd-update")).unwrap();
    world = World::model();
    world.run_until(update);
    world.wanted.sets = vec![SetName::base()];
    world.run(None).result.unwrap();
    assert!(!world.wanted.layout.folder().join("releases/15.1-RELEASE/usr/lib32").exists());
}
