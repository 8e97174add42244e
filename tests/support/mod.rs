//! What the suites share. Each uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod bench;
pub mod git_http;
pub mod git_repo;
pub mod offline;
pub mod parts;
pub mod skip;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is removed with this value.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sky-test-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether this run must not ask the module proxy; skips `what` then.
pub fn offline(what: &str) -> bool {
    skip::network().inspect_err(|why| skip::skip(what, why)).is_err()
}

/// The go command, wherever `PATH` has it.
pub fn go() -> PathBuf {
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|dir| dir.join("go"))
        .find(|path| path.is_file())
        .expect("the go command is in PATH")
}
