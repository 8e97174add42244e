//! The shell scripts as such.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::host::{has, shells};

/// All of them: a script without a test of its own is read by these at least.
fn scripts() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![top.join("rc.d/sky_island"), top.join("tests/service/rc.subr")];
    let folder = std::fs::read_dir(top.join("scripts")).unwrap();
    found.extend(folder.map(|entry| entry.unwrap().path()));
    assert!(found.len() > 5, "{found:?}");
    found
}

#[test]
fn every_script_is_read_by_every_shell() {
    for script in scripts() {
        for shell in shells() {
            let read = Command::new(shell[0]).args(&shell[1..]).arg("-n").arg(&script).output();
            let read = read.unwrap();
            assert!(read.status.success() && read.stderr.is_empty(), "{script:?}: {read:?}");
        }
    }
}

#[test]
fn shellcheck_finds_nothing_in_any_script() {
    if !has("shellcheck") {
        return;
    }
    let found = Command::new("shellcheck").args(scripts()).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
}
