//! Build traces of several Go releases: what `go build -x` prints is no interface, so each release
//! is tried.

use std::process::Command;

use server::compile::Toolchain;

use crate::harness::{self, Setup, Site, Way};
use crate::{OTHER, support};

/// The newest release, Go 1.N, whose build trace is known to be understood. A later release may
/// print something else, and the go command then makes every program.
const UNDERSTOOD: u32 = 27;
/// How many releases are tried: the ones that the Go project maintains, and one more.
const RELEASES: usize = 3;

/// A replayed program is the go command's, byte for byte.
pub fn replayed(site: &Site) {
    if support::offline("build traces of the last Go releases") {
        return;
    }
    for version in newest_releases() {
        let toolchain = toolchain(&version);
        assert_eq!(toolchain.version(), version);
        let minor = toolchain.minor();
        let setup =
            |replay| Setup { toolchain: toolchain.clone(), replay, ..site.setup(Way::Mount) };
        let harness = site.furnish(setup(true));
        harness.build("Add(1, 1)");
        harness.build(OTHER);
        harness.compiled();
        let call = "Add(2, 2+1)";
        let replayed = harness.build(call);
        let by_command = harness.compiled_by().0;
        assert!(by_command == 0 || minor > UNDERSTOOD, "Go {version}: the go command was used");
        let replayed = harness::bytes(&replayed);
        let harness = harness.refurnished(setup(false));
        let compiled = harness.find(call, true).expect("a program");
        assert_eq!(harness.compiled_by().0, 1, "Go {version}");
        assert!(harness::bytes(&compiled) == replayed, "Go {version}: the programs differ");
        assert_eq!(harness.run(&compiled), "5", "Go {version}");
    }
}

/// Without the key go.replay, the go command makes every program.
pub fn not_replayed(site: &Site) {
    let harness = site.furnish(Setup { replay: false, ..site.setup(Way::Mount) });
    for (call, answer) in [("Add(1, 1)", "2"), (OTHER, "3"), ("Add(2, 2+1)", "5")] {
        let built = harness.build(call);
        assert_eq!(harness.compiled_by().0, 1, "{call}");
        assert_eq!(harness.run(&built), answer, "{call}");
    }
}

/// The newest patches of the last releases that the module proxy has for this platform, the newest
/// first.
fn newest_releases() -> Vec<String> {
    let platform = go(&[], &["env", "GOOS", "GOARCH"]).replace('\n', "-");
    let list = go(&[], &["list", "-m", "-versions", "golang.org/toolchain"]);
    let release = |word: &str| {
        let version = word.strip_prefix("v0.0.1-go1.")?.strip_suffix(&format!(".{platform}"))?;
        let (minor, patch) = version.split_once('.')?;
        Some((minor.parse::<u32>().ok()?, patch.parse::<u32>().ok()?))
    };
    let mut releases: Vec<_> = list.split_whitespace().filter_map(release).collect();
    releases.sort_unstable();
    releases.reverse();
    releases.dedup_by_key(|(minor, _)| *minor);
    assert!(releases.len() >= RELEASES, "{platform}: {list}");
    releases.truncate(RELEASES);
    releases.iter().map(|(minor, patch)| format!("1.{minor}.{patch}")).collect()
}

/// A toolchain of the module proxy.
fn toolchain(version: &str) -> Toolchain {
    let goroot = go(&[("GOTOOLCHAIN", &format!("go{version}"))], &["env", "GOROOT"]);
    let command = std::path::Path::new(&goroot).join("bin/go");
    Toolchain::find(Some(&command)).unwrap_or_else(|error| panic!("{goroot}: {error}"))
}

fn go(env: &[(&str, &str)], args: &[&str]) -> String {
    let mut command = Command::new(support::go());
    command.args(args).envs(env.iter().copied()).current_dir("/");
    let output = command.output().expect("the go command");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
