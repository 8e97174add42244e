//! What the suite runs on: the stranger's program, a backend, and the two users.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sky_island::island::{Backend, Islands, Limits, Options, Outcome, Spec, choose};
use sky_island::net::Pools;

use super::again;

/// Everything that a test needs to run islands.
pub struct Host {
    pub islands: Islands,
    pub backend: Arc<dyn Backend>,
    pub runtime: tokio::runtime::Runtime,
    program: Arc<File>,
}

/// The stranger's program and the files beside it; made once for all processes of the suite.
struct Kit {
    folder: PathBuf,
}

/// A folder that the suite's other processes find these things in.
pub const KIT: &str = "SKY_ISLAND_SUITE_KIT";
pub const PROGRAM: &str = "hostile";
pub const LAUNCHER: &str = "sky-island";
pub const SUITE: &str = "suite";
const ZONES: &str = "zoneinfo.zip";

/// Says something past the capture of the test's output, so that it is seen when the test passes as well.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says that this host, for this user, cannot give a promise.
pub fn not_given(promise: &str, why: impl std::fmt::Display) {
    let user = nix::unistd::geteuid();
    say(format_args!("NOT GIVEN to user {user}: {promise}: {why}"));
}

/// The backend that the tests of this process share.
static SHARED: OnceLock<Option<Host>> = OnceLock::new();

/// Runs a test of one promise on the backend that the tests of this process share.
pub fn promise(test: impl FnOnce(&Host)) {
    let shared = SHARED.get_or_init(|| {
        let host = Host::start(0);
        again::at_exit(|| SHARED.get().into_iter().flatten().for_each(Host::close));
        host
    });
    if let Some(host) = shared {
        test(host);
    }
}

/// Runs a test in a process of its own, which it can look at from outside: `name` is the test's.
pub fn alone(name: &str, ahead: usize, test: impl FnOnce(&Host)) {
    if !again::is_alone(name) {
        if kit().is_some() {
            again::run_alone(name);
        }
        return;
    }
    if let Some(host) = Host::start(ahead) {
        test(&host);
        host.close();
    }
}

/// The folder with the program and the launcher in it, or none, with the reason said.
pub fn kit() -> Option<&'static Path> {
    static KIT_MADE: OnceLock<Option<Kit>> = OnceLock::new();
    KIT_MADE.get_or_init(Kit::find_or_make).as_ref().map(|kit| kit.folder.as_path())
}

impl Kit {
    fn find_or_make() -> Option<Self> {
        if let Some(folder) = std::env::var_os(KIT) {
            return Some(Self { folder: folder.into() });
        }
        let goroot = match Command::new("go").args(["env", "GOROOT"]).output() {
            Ok(output) => PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
            Err(error) => {
                say(format_args!("skipped: the go command cannot be run ({error})"));
                return None;
            }
        };
        let folder = tempfile::Builder::new()
            .prefix("sky-island-suite-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        again::at_exit(|| {
            if let Some(kit) = kit() {
                let _ = std::fs::remove_dir_all(kit);
            }
        });
        let built = Command::new("go")
            .args(["build", "-trimpath", "-o"])
            .arg(folder.join(PROGRAM))
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hostile"))
            .envs([
                ("CGO_ENABLED", "0"),
                ("GOWORK", "off"),
                ("GOFLAGS", ""),
                ("GOTOOLCHAIN", "local"),
            ])
            .status()
            .expect("go build runs");
        assert!(built.success(), "the stranger's program builds");
        let own = std::env::current_exe().expect("this process has a program");
        copy(Path::new(env!("CARGO_BIN_EXE_sky-island")), &folder.join(LAUNCHER));
        copy(&own, &folder.join(SUITE));
        let zones = goroot.join("lib/time").join(ZONES);
        if zones.exists() {
            copy(&zones, &folder.join(ZONES));
        }
        Some(Self { folder })
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
}

impl Host {
    /// A backend of its own, or none, with the reason said.
    pub fn start(ahead: usize) -> Option<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self::start_on(builder.worker_threads(2), ahead)
    }

    /// The same, on the runtime that is described.
    pub fn start_on(runtime: &mut tokio::runtime::Builder, ahead: usize) -> Option<Self> {
        let kit = kit()?;
        let runtime = runtime.enable_all().build().expect("a runtime");
        let options = Options {
            launcher: kit.join(LAUNCHER),
            zones: Some(kit.join(ZONES)).filter(|path| path.exists()),
            function: limits(),
            ahead,
            pools: Pools::default(),
            jails: None,
        };
        let backend = match runtime.block_on(choose(options)) {
            Ok(backend) => backend,
            Err(error) => {
                let findings = "`sky-island check` says what is missing";
                not_given("any island at all", format_args!("{error}; {findings}"));
                return None;
            }
        };
        let program = Arc::new(File::open(kit.join(PROGRAM)).expect("the program"));
        Some(Self { islands: Islands::new(backend.clone()), backend, runtime, program })
    }

    /// Gives back what the host made for this backend.
    pub fn close(&self) {
        self.runtime.block_on(self.backend.close());
    }

    pub fn has_zones(&self) -> bool {
        kit().is_some_and(|kit| kit.join(ZONES).exists())
    }

    /// Why this host does not give something, by the finding's name; none where it does.
    pub fn lacks(&self, finding: &str) -> Option<String> {
        let found = self.backend.findings().into_iter().find(|found| found.name == finding)?;
        found.remedy.as_ref()?;
        Some(found.detail)
    }

    /// A function's island whose program does this.
    pub fn function(&self, deed: &[&str]) -> Spec {
        let mut spec = Spec::function(self.program.clone(), limits());
        spec.args.extend(deed.iter().map(|text| (*text).to_owned()));
        spec
    }

    pub fn program(&self) -> Arc<File> {
        self.program.clone()
    }

    pub fn run(&self, spec: &Spec) -> Outcome {
        self.runtime.block_on(self.islands.run(spec)).expect("the island starts")
    }

    /// Runs a deed to its good end and reads what it answers.
    pub fn ask<T: serde::de::DeserializeOwned>(&self, deed: &[&str]) -> T {
        read(&self.run(&self.function(deed)))
    }
}

/// The answer of an island that ended well.
pub fn read<T: serde::de::DeserializeOwned>(outcome: &Outcome) -> T {
    assert_eq!(
        outcome.ending,
        sky_island::island::Ending::Exited(0),
        "stderr: {}",
        String::from_utf8_lossy(&outcome.stderr)
    );
    serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&outcome.stdout));
    })
}

/// Limits under which an honest deed has room; a test narrows what it is about.
pub fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(20),
        memory: 192 << 20,
        processes: 32,
        output: 1 << 20,
        tmp: 8 << 20,
        disk: None,
    }
}

/// Waits until something becomes true; what a host does in its own time has no moment to be asserted at.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    const PATIENCE: Duration = Duration::from_secs(10);
    let until = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
