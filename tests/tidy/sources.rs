//! The files of the repository, as the rules read them.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file.
pub struct Source {
    /// Relative to the repository, with `/`.
    pub path: String,
    /// The whole content.
    pub text: String,
}

/// The folder of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The roots of the crates: `src/main.rs`, and the `src/lib.rs` of each folder below `crates/`.
pub fn crate_roots() -> Vec<String> {
    let mut roots = vec!["src/main.rs".to_owned()];
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        roots.push(format!("crates/{name}/src/lib.rs"));
    }
    assert!(roots.len() > 6, "the crates were not found: {roots:?}");
    roots.sort();
    roots
}

/// The text of one file; `None` where there is no such file.
pub fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// The Rust sources of all crates, unit tests included.
pub fn rust() -> Vec<Source> {
    let found: Vec<_> =
        below(&["crates", "src"]).into_iter().filter(|s| s.path.ends_with(".rs")).collect();
    assert!(found.len() > 50, "the sources were not found");
    found
}

/// All text files below some folders of the repository; a path of a file stands for itself.
pub fn below(paths: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    for path in paths {
        collect(&root().join(path), &mut files);
    }
    files.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    files
        .iter()
        .filter_map(|path| Some((relative(path), fs::read_to_string(path).ok()?)))
        .map(|(path, text)| Source { path, text })
        .collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.file_name().is_some_and(|name| name != "target") {
        let Ok(entries) = fs::read_dir(path) else { return };
        for entry in entries {
            collect(&entry.unwrap().path(), files);
        }
    }
}
