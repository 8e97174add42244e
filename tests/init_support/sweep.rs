//! The sweeps: init and destroy with each of their commands failing in turn, and what must hold
//! then.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use super::faults::{Fault, Kind};
use super::world::World;

/// Commands that change the host. Every other one only looks.
pub fn acts(command: &str) -> bool {
    let starts = ["zfs list", "zfs get", "sysctl", "kldstat", "jls"];
    !starts.iter().any(|start| command.starts_with(start))
}

/// The files below one folder of the jails.
fn part<'a>(files: &'a BTreeMap<String, String>, folder: &str) -> Vec<(&'a String, &'a String)> {
    files.iter().filter(|(name, _)| name.starts_with(&format!("{folder}/"))).collect()
}

/// Whatever bears a final name is whole.
fn nothing_half_made(world: &World, whole: &BTreeMap<String, String>, what: &str) {
    let names = world.datasets();
    let files = world.files(world.wanted.layout.folder());
    let layout = &world.wanted.layout;
    let folders = [
        (layout.base(), layout.base_snapshot(), "releases/15.1-RELEASE"),
        (layout.build(), layout.build_snapshot(), "build"),
    ];
    for (dataset, snapshot, folder) in folders {
        let there =
            |name: &str| names.iter().any(|line| line.split([' ', '\t']).next() == Some(name));
        if there(dataset.as_str()) {
            assert!(there(snapshot.as_str()), "{what}: {dataset} has its name and no snapshot");
            assert_eq!(part(&files, folder), part(whole, folder), "{what}: {dataset}");
        }
    }
}

/// Does something with each item, so many at a time: models wait more than they work.
fn each<T: Send>(items: impl Iterator<Item = T>, at_a_time: usize, deed: impl Fn(T) + Sync) {
    let items = Mutex::new(items.collect::<Vec<_>>().into_iter());
    let next = || items.lock().expect("nothing panics while it takes an item").next();
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(item) = next() {
                    deed(item)
                }
            });
        }
    });
}

/// Fails each command that `which` picks in this way, and runs init again.
pub fn init_fails_at_each_command(
    fresh: impl Fn() -> World + Sync,
    which: fn(&str) -> bool,
    kind: Kind,
) {
    let reference = fresh();
    let ran = reference.run(None);
    ran.result.unwrap();
    let whole = reference.look();
    let (commands, at_a_time) = (ran.commands, reference.at_a_time());
    drop(reference);
    let picked = commands.iter().enumerate().filter(|(_, command)| which(command));
    each(picked, at_a_time, |(at, command)| {
        let world = fresh();
        let what = format!("{kind:?} at {at}, `{command}`");
        if kind == Kind::Hang {
            world.run_until(at);
        } else {
            let ran = world.run(Some(Fault { at, kind }));
            assert_eq!(ran.commands[at], *command, "{what}: another way");
            assert!(ran.result.is_err() || !acts(command), "{what}: no one noticed");
        }
        nothing_half_made(&world, &whole.1, &what);
        if let Err(error) = world.run(None).result {
            panic!("{what}: it cannot be run again: {error:?}");
        }
        let look = world.look();
        assert_eq!(look.0, whole.0, "{what}: other datasets");
        assert_eq!(look.1, whole.1, "{what}: other files");
    });
}

/// Fails each command of destroy that changes the host, and runs it again: all that init made goes,
/// and no more.
pub fn destroy_fails_at_each_command(fresh: impl Fn() -> World + Sync, kind: Kind) {
    let reference = fresh();
    let before = reference.look();
    reference.run(None).result.unwrap();
    let ran = reference.destroy(None);
    ran.result.unwrap();
    assert_eq!(reference.look(), before, "destroy left something, or took too much");
    let (commands, at_a_time) = (ran.commands, reference.at_a_time());
    drop(reference);
    let picked = commands.iter().enumerate().filter(|(_, command)| acts(command));
    each(picked, at_a_time, |(at, command)| {
        let world = fresh();
        world.run(None).result.unwrap();
        assert!(world.destroy(Some(Fault { at, kind })).result.is_err(), "{command}");
        if let Err(error) = world.destroy(None).result {
            panic!("{kind:?} at `{command}`: it cannot be run again: {error:?}");
        }
        assert_eq!(world.look(), before, "{kind:?} at `{command}`");
    });
}
