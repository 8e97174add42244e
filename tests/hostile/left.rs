//! What all rows together have left: in the checkouts, in the layers of the build cache, on the
//! host, in the log.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use crate::server::POLL;
use crate::world::{Running, World, contents};

/// Modes that give a file the rights of its owner.
const SET_ID: u32 = 0o6000;
/// The longest wait for the trash to be empty.
const TRASH_WAIT: Duration = Duration::from_secs(120);

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let trial = |name: &str, test: fn(&Running) -> Result<(), String>| {
        let world = Arc::clone(world);
        Trial::test(format!("left: {name}"), move || match world.running() {
            Some(running) => test(running).map_err(Failed::from),
            None => Ok(()),
        })
    };
    vec![
        trial("no checkout has git's own folder, a way out, a device or a set-id file", checkouts),
        trial("no build has changed a layer that all builds share", layers),
        trial("the server still answers, ends with status 0 and has said of no panic", ends),
    ]
}

fn checkouts(running: &Running) -> Result<(), String> {
    let checkouts = running.server.state().join("checkouts");
    let mut seen = 0;
    let mut folders = vec![checkouts];
    while let Some(folder) = folders.pop() {
        if folder.join("src").is_dir() {
            for name in ["src", "deps", "overlay"] {
                if folder.join(name).exists() {
                    seen += plain(&folder, &folder.join(name))?;
                }
            }
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            // The build cache of a checkout may have a folder that not even its owner may read.
            if path.is_dir() && path.file_name().is_none_or(|name| name != "cache") {
                folders.push(path);
            }
        }
    }
    // The neighbour's package is there in any case.
    if seen == 0 { Err("the checkouts have no files".to_owned()) } else { Ok(()) }
}

/// The number of files below a folder, each of which has to be plain or a link within `top`.
fn plain(top: &Path, folder: &Path) -> Result<usize, String> {
    let top = top.canonicalize().map_err(|e| e.to_string())?;
    let (mut seen, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| e.to_string())? {
            let entry = entry.map_err(|e| e.to_string())?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(|e| e.to_string())?);
            let bad = |why: &str| Err(format!("{} {why}", path.display()));
            if entry.file_name().eq_ignore_ascii_case(".git") {
                return bad("is git's own");
            }
            if kind.is_symlink() && !path.canonicalize().is_ok_and(|it| it.starts_with(&top)) {
                return bad("is a link out of its checkout");
            }
            if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || kind.is_socket()
            {
                return bad("is no file");
            }
            let mode = entry.metadata().map_err(|e| e.to_string())?.mode();
            if mode & SET_ID != 0 {
                return bad("has the rights of its owner");
            }
            seen += usize::from(kind.is_file());
            if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(seen)
}

fn layers(running: &Running) -> Result<(), String> {
    let now = contents(&running.server.state().join("gocache"))?;
    if running.layers.is_empty() {
        return Err("there were no layers".to_owned());
    }
    let changed = running.layers.iter().find(|(path, sum)| now.get(*path) != Some(*sum));
    changed.map_or(Ok(()), |(path, _)| Err(format!("{} has changed", path.display())))
}

fn ends(running: &Running) -> Result<(), String> {
    running.serves()?;
    // What the bombs among the trees have left is deleted first, so that the end is not kept by it.
    let (trash, begin) = (running.server.state().join("trash"), Instant::now());
    while std::fs::read_dir(&trash).is_ok_and(|mut left| left.next().is_some()) {
        if begin.elapsed() > TRASH_WAIT {
            return Err(format!("the trash was not empty after {TRASH_WAIT:?}"));
        }
        sleep(POLL);
    }
    running.server.stop_well()
}
