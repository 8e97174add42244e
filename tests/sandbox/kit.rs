//! What the suite is made of besides itself: the stranger's program, the launcher, the archive of
//! time zones. Made once for all processes of the suite, in a folder that each of them finds.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{again, platform};
use crate::skip;
use crate::skip::Reason;

/// A folder that the suite's other processes find these things in.
pub const KIT: &str = "SKY_ISLAND_SUITE_KIT";
pub const PROGRAM: &str = "hostile";
pub const LAUNCHER: &str = "sky-island";
pub const SUITE: &str = "suite";
pub const ZONES: &str = "zoneinfo.zip";

/// The folder with the program and the launcher in it, or why there is none.
pub fn kit() -> Result<&'static Path, &'static Reason> {
    static KIT_MADE: OnceLock<Result<PathBuf, Reason>> = OnceLock::new();
    KIT_MADE.get_or_init(find_or_make).as_deref()
}

fn find_or_make() -> Result<PathBuf, Reason> {
    if let Some(folder) = std::env::var_os(KIT) {
        return Ok(folder.into());
    }
    platform::is_ready().map_err(Reason::fixable)?;
    let goroot = match Command::new(platform::go()).args(["env", "GOROOT"]).output() {
        Ok(output) => PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
        Err(error) => {
            return Err(Reason::fixable(format_args!("the go command cannot be run ({error})")));
        }
    };
    let folder = tempfile::Builder::new()
        .prefix("sky-island-suite-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("a temporary folder can be made")
        .keep();
    again::at_exit(|| {
        if let Ok(kit) = kit() {
            let _ = std::fs::remove_dir_all(kit);
        }
    });
    build(&platform::go(), &folder.join(PROGRAM), &[]);
    let own = std::env::current_exe().expect("this process has a program");
    copy(Path::new(env!("CARGO_BIN_EXE_sky-island")), &folder.join(LAUNCHER));
    copy(&own, &folder.join(SUITE));
    let zones = goroot.join("lib/time").join(ZONES);
    if zones.exists() {
        copy(&zones, &folder.join(ZONES));
    }
    Ok(folder)
}

/// Builds the stranger's program.
fn build(go: &Path, output: &Path, target: &[(&str, &str)]) {
    let built = Command::new(go)
        .args(["build", "-trimpath", "-o"])
        .arg(output)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hostile"))
        .envs([("CGO_ENABLED", "0"), ("GOWORK", "off"), ("GOFLAGS", ""), ("GOTOOLCHAIN", "local")])
        .envs(target.iter().copied())
        .output()
        .expect("go build runs");
    let message = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the stranger's program for {target:?}: {message}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
}

#[test]
fn the_strangers_program_builds_for_each_system() {
    if let Err(why) = kit() {
        return skip::skip("the stranger's program", why);
    }
    let folder = tempfile::tempdir().unwrap();
    for os in ["linux", "freebsd"] {
        for arch in ["amd64", "arm64"] {
            build(&platform::go(), &folder.path().join(os), &[("GOOS", os), ("GOARCH", arch)]);
        }
    }
}
