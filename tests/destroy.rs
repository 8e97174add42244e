//! Freeing a host of what init made, on a model of ZFS: what goes, and what stops it.

mod init_support;

use common::causes::chain;
use server::state::State;

use init_support::faults::Kind;
use init_support::sweep;
use init_support::world::World;

#[test]
fn destroy_can_be_interrupted_anywhere_and_run_again() {
    for kind in [Kind::Before, Kind::After] {
        sweep::destroy_fails_at_each_command(World::model, kind);
    }
}

#[test]
fn destroy_takes_what_the_server_made_and_leaves_what_others_did() {
    let world = World::model();
    world.zfs(&[
        "create",
        "-o",
        &format!("mountpoint={}/home", world.folder.path().display()),
        "tank/home",
    ]);
    let before = world.look();
    world.run(None).result.unwrap();
    let base = "tank/jails/releases/15.1-RELEASE@p1";
    world.zfs(&["clone", base, "tank/jails/artifacts/k1"]);
    world.zfs(&["snapshot", "tank/jails/artifacts/k1@ready"]);
    world.zfs(&["clone", "tank/jails/artifacts/k1@ready", "tank/jails/run/si_1"]);
    assert_eq!(world.removals().unwrap().len(), 11);
    world.destroy(None).result.unwrap();
    assert_eq!(world.look(), before);
    assert!(world.removals().unwrap().is_empty());
    world.destroy(None).result.unwrap();
}

#[test]
fn destroy_stops_before_anything_that_is_not_ours() {
    let table: [(fn(&World), &str); 4] = [
        (|world| drop(world.zfs(&["create", "tank/jails/run/mine"])), "tank/jails/run/mine"),
        (|world| drop(world.zfs(&["create", "tank/jails/my"])), "tank/jails/my"),
        (
            |world| std::fs::write(world.wanted.layout.folder().join("notes"), "x").unwrap(),
            "/notes",
        ),
        (
            |world| {
                let mountpoint = format!("mountpoint={}/copy", world.folder.path().display());
                world.zfs(&["clone", "-o", &mountpoint, "tank/jails/build@p1", "tank/copy"]);
            },
            "tank/copy (a clone of tank/jails/build@p1)",
        ),
    ];
    for (make, expected) in table {
        let world = World::model();
        world.run(None).result.unwrap();
        make(&world);
        let before = world.look();
        let ran = world.destroy(None);
        let said = ran.result.unwrap_err().to_string();
        assert!(said.contains("nothing was removed") && said.contains(expected), "{said}");
        assert!(!ran.commands.iter().any(|command| sweep::acts(command)));
        assert_eq!(world.look(), before);
    }
}

#[test]
fn destroy_of_a_host_in_use_is_refused() {
    let world = World::model();
    world.run(None).result.unwrap();
    let before = world.look();
    let mut state = State::open(world.wanted.state_dir.clone()).unwrap();
    state.announce("http://127.0.0.1:3281");
    let said = chain(&world.destroy(None).result.unwrap_err());
    assert!(said.contains("stop it first") && said.contains("127.0.0.1:3281"), "{said}");
    assert_eq!(world.look(), before);
    drop(state);
    assert!(world.wanted.state_dir.exists());
    world.destroy(None).result.unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_host_that_is_not_freebsd_has_nothing_to_be_removed() {
    for words in [&["destroy"][..], &["destroy", "--yes"]] {
        let program = env!("CARGO_BIN_EXE_sky-island");
        let left = std::process::Command::new(program).args(words).output().unwrap();
        assert_eq!(left.status.code(), Some(0));
        let said = String::from_utf8(left.stdout).unwrap();
        assert_eq!(said, "nothing to remove: init makes nothing on this host\n");
    }
}
