//! Preparing a host in a real pool, which `SKY_ISLAND_TEST_POOL` names. Its `jails` dataset is made
//! and destroyed.
//!
//! Needs root, zfs(8) and tar(1).

mod init_support;
#[path = "support/skip.rs"]
mod skip;

use std::sync::{Mutex, MutexGuard, PoisonError};

use host::layout::Layout;

use init_support::faults::Kind;
use init_support::sweep;
use init_support::world::World;

/// The pool, without which the test is skipped.
fn pool() -> Option<String> {
    skip::pool().inspect_err(|why| skip::skip("init on ZFS", why)).ok()
}

/// One test at a time, for there is one pool.
fn alone() -> MutexGuard<'static, ()> {
    static POOL: Mutex<()> = Mutex::new(());
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_real_pool_is_prepared_and_freed() {
    let Some(pool) = pool() else { return };
    let _alone = alone();
    let fresh = || World::real(&pool);
    let world = fresh();
    let before = world.look();
    let ran = world.run(None);
    ran.result.unwrap();
    let again = world.run(None);
    again.result.unwrap();
    assert!(!again.commands.iter().any(|command| sweep::acts(command)), "{:?}", again.commands);
    let files = world.files(world.wanted.layout.folder());
    assert!(files["build/usr/local/go/VERSION"].starts_with("100644"));
    assert!(files["releases/15.1-RELEASE/bin/su"].starts_with("104555"), "{files:?}");
    let get = |property: &str, name: &str| {
        let name = format!("{pool}/{name}");
        world.zfs(&["get", "-H", "-o", "value", property, &name]).stdout.trim().to_owned()
    };
    assert_eq!(get("sync", "jails/run"), "disabled");
    assert_eq!(get("setuid", "jails/releases/15.1-RELEASE"), "off");
    assert_eq!(get("compression", "jails/build"), "on");
    assert_eq!(get("origin", "jails/build"), format!("{pool}/jails/releases/15.1-RELEASE@p1"));

    // What a server makes, and what an admin makes.
    let name = |name: &str| format!("{pool}/jails/{name}");
    world.zfs(&["clone", &name("releases/15.1-RELEASE@p1"), &name("artifacts/k1")]);
    world.zfs(&["snapshot", &name("artifacts/k1@ready")]);
    world.zfs(&["clone", &name("artifacts/k1@ready"), &name("run/si_1")]);
    world.zfs(&["create", &name("run/mine")]);
    let said = world.destroy(None).result.unwrap_err().to_string();
    assert!(said.contains("jails/run/mine"), "{said}");
    world.zfs(&["destroy", &name("run/mine")]);
    world.destroy(None).result.unwrap();
    assert_eq!(world.look(), before);
    assert!(!world.wanted.layout.folder().exists());

    // Mounted elsewhere than ZFS would by itself.
    let mut world = fresh();
    let folder = world.folder.path().join("elsewhere/jails");
    let release = world.wanted.layout.release().clone();
    world.wanted.layout = Layout::new(&pool, Some(&folder), release).unwrap();
    world.run(None).result.unwrap();
    assert!(folder.join("build/usr/local/go/bin/go").is_file());
    world.destroy(None).result.unwrap();
    assert!(!folder.exists());
}

#[test]
fn what_was_interrupted_at_a_clone_a_snapshot_or_a_rename_is_taken_up() {
    let Some(pool) = pool() else { return };
    let _alone = alone();
    let fresh = || World::real(&pool);
    let which = |command: &str| {
        ["zfs clone", "zfs snapshot", "zfs rename"].iter().any(|verb| command.starts_with(verb))
    };
    sweep::init_fails_at_each_command(fresh, which, Kind::After);
    fresh();
}

#[test]
#[ignore = "takes a quarter of an hour in an emulated machine; make test-zfs-long runs it"]
fn whatever_was_interrupted_is_taken_up() {
    let Some(pool) = pool() else { return };
    let _alone = alone();
    let fresh = || World::real(&pool);
    sweep::init_fails_at_each_command(fresh, sweep::acts, Kind::After);
    sweep::init_fails_at_each_command(fresh, |command| command.starts_with("tar"), Kind::Half);
    sweep::init_fails_at_each_command(
        fresh,
        |command| command.starts_with("zfs clone"),
        Kind::Hang,
    );
    sweep::destroy_fails_at_each_command(fresh, Kind::After);
    fresh();
}
