//! A disk that takes its time must not hold up the calls that need none of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;

use crate::harness::{Site, Way};

/// How long the disk takes for one file.
const DISK: Duration = Duration::from_millis(500);
/// How long another task waits between its turns, and the fewest turns that it has in that time.
const TURN: Duration = Duration::from_millis(10);
const TURNS: u32 = 10;

/// After a restart a call's checkout and artifact are read from the disk; a pipe stands for a file
/// that comes slowly.
pub fn look_up(site: &Site) {
    for (store, name) in [("checkouts", "meta.json"), ("artifacts", "complete")] {
        let harness = site.harness(Way::Mount);
        harness.build("Add(1, 1)");
        let harness = harness.reopened(Way::Mount);
        let file = find(&harness.state(store), name).expect("a file of the entry");
        let content = fs::read(&file).expect("the file");
        fs::remove_file(&file).expect("the file is removed");
        nix::unistd::mkfifo(&file, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
        let disk = std::thread::spawn(move || {
            std::thread::sleep(DISK);
            fs::write(&file, content).expect("the reader is there");
        });
        let turns = harness.turns_of_others("Add(1, 1)", TURN);
        disk.join().expect("the disk");
        assert!(turns >= TURNS, "{store}: other tasks had {turns} turns in {DISK:?}");
        assert_eq!(harness.compiled(), [""; 0], "{store}: the entry was found");
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    let folders = fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.path()).find_map(|folder| find(&folder, name))
}
