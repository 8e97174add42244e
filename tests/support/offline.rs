//! The build that follows a fetch: offline, with the downloads not to be written to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use fetch_job::Fetched;

/// Builds and runs `fmt.Println(expression)`, with the fetched package imported as `p`. The module
/// cache must be the same after it as before: the sandbox that builds sees it read-only.
pub fn build_and_run(go: &Path, dest: &Path, fetched: &Fetched, expression: &str) -> String {
    let scratch = super::TempDir::new();
    let main = scratch.path().join("main.go");
    let text = format!(
        "package main\n\nimport (\n\t\"fmt\"\n\tp \"{}\"\n)\n\nfunc main() {{ fmt.Println({expression}) }}\n",
        fetched.import_path
    );
    std::fs::write(&main, text).unwrap();
    let module = dest.join("src").join(&fetched.module_dir);
    let mut replace = BTreeMap::from([(module.join("zz_island/main.go"), main)]);
    for name in ["go.mod", "go.sum"] {
        let file = dest.join("overlay").join(name);
        if file.exists() {
            replace.insert(module.join(name), file);
        }
    }
    let overlay = scratch.path().join("overlay.json");
    std::fs::write(&overlay, serde_json::json!({ "Replace": replace }).to_string()).unwrap();
    let artifact = scratch.path().join("artifact");
    let mode = if fetched.vendored { "-mod=vendor" } else { "-mod=readonly" };
    let before = listing(dest);
    let output = Command::new(go)
        .args(["build", mode, "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-overlay"])
        .arg(&overlay)
        .arg("-o")
        .args([&artifact, Path::new("./zz_island")])
        .current_dir(&module)
        .env_clear()
        .env("PATH", "")
        .env("HOME", scratch.path())
        .env("GOCACHE", std::env::temp_dir().join("sky-test-gocache"))
        .env("GOPATH", scratch.path().join("gopath"))
        .env("GOMODCACHE", dest.join("deps"))
        .envs([("GOPROXY", "off"), ("GOSUMDB", "off"), ("GOFLAGS", ""), ("GOWORK", "off")])
        .envs([("GOENV", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{fetched:?} does not build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(before, listing(dest), "the build wrote to the checkout or the downloads");
    let output = Command::new(&artifact).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn listing(root: &Path) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let mut out = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                folders.push(entry.path());
            }
            out.insert(entry.path(), (meta.len(), meta.modified().ok()));
        }
    }
    out
}
