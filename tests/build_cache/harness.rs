//! Servers' state directories, each with a builder whose islands have a kernel that lays folders
//! over each other, or are told that theirs does not. The test and the bench use a part of it each.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use goexpr::Call;
use island::{Backend, Ending, Islands, Options, Spec, choose};
use server::compile::{BuildError, BuildRequest, Builder, Built, Toolchain};
use server::source::{Checkout, ImportPath, Mirror, PackageRequest, Sources};
use tokio::runtime::Runtime;

#[path = "watched.rs"]
mod watched;

use crate::support::git_repo::BareRepo;
use crate::support::parts::{PartsOptions, ROOM, client, limits, sources_and_builder};
use watched::Watched;

const PATH: &str = "example.com/m";
const PROGRAM: &str = "sky-island";
const GO_MOD: &str = "module example.com/m\n\ngo 1.21\n";
const SOURCE: &str = r#"package m

import (
	"encoding/json"
	"fmt"
)

func Add(a, b int) int { return a + b }

func Sum(list ...int) (sum, count int) {
	for _, n := range list {
		sum += n
	}
	return sum, len(list)
}

func Quiet() { fmt.Print("said") }

func Encoded(text string) string {
	data, _ := json.Marshal(text)
	return string(data)
}
"#;

/// What lays the layers over each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Mount,
    Program,
}

/// What a harness has.
pub struct Setup {
    pub way: Way,
    pub toolchain: Toolchain,
    /// What answers for the build cache on an island.
    pub program: PathBuf,
    /// Bytes that a build may leave.
    pub size: u64,
    /// Whether known builds are replayed without the go command.
    pub replay: bool,
}

/// What all harnesses share: a backend, a repository, our own program, and layers made before the
/// first test.
pub struct Site {
    folder: Folder,
    runtime: Runtime,
    backend: Arc<dyn Backend>,
    toolchain: Toolchain,
    overheard: bool,
}

impl Site {
    /// A site with the base layer made, or why there is none. Its go commands say what they do.
    pub fn prepare() -> Result<Self, String> {
        Self::with(true)
    }

    /// The same, where they say no more than they must.
    pub fn prepare_quiet() -> Result<Self, String> {
        Self::with(false)
    }

    fn with(overheard: bool) -> Result<Self, String> {
        let toolchain = Toolchain::find(None).map_err(|e| e.to_string())?;
        let folder = Folder::new();
        let built = std::env::var_os("SKY_ISLAND_BIN")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_sky-island")), PathBuf::from);
        let program = folder.path().join(PROGRAM);
        fs::copy(built, &program).expect("our own program is copied");
        let repository = BareRepo::create(&folder.path().join("git/m.git"));
        repository.commit("master", &[("go.mod", GO_MOD), ("m.go", SOURCE)]);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        let options = Options {
            launcher: program,
            zones: None,
            function: limits().resources,
            ahead: 0,
            pools: Default::default(),
            jails: None,
            reuse: Default::default(),
        };
        let backend = runtime.block_on(choose(options)).map_err(|e| e.to_string())?;
        let site = Self { folder, runtime, backend, toolchain, overheard };
        // The first build of all makes the layer that the others begin with.
        let first = site.open(site.template(), site.setup(Way::Mount));
        first.build("Add(1, 1)");
        Ok(site)
    }

    /// Removes what the host made for the backend.
    pub fn close(&self) {
        self.runtime.block_on(self.backend.close());
    }

    pub fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// Our own program, where any user can run it.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join(PROGRAM)
    }

    /// A copy of another program in the same place.
    pub fn adopt(&self, program: &Path) -> PathBuf {
        let copy = self.folder.path().join("suite");
        fs::copy(program, &copy).expect("a copy");
        copy
    }

    fn template(&self) -> PathBuf {
        self.folder.path().join("template")
    }

    /// What is usual in a harness.
    pub fn setup(&self, way: Way) -> Setup {
        let (toolchain, program) = (self.toolchain.clone(), self.program());
        Setup { way, toolchain, program, size: ROOM, replay: true }
    }

    pub fn harness(&self, way: Way) -> Harness<'_> {
        self.furnish(self.setup(way))
    }

    /// A new harness, which has the base layer already.
    pub fn furnish(&self, setup: Setup) -> Harness<'_> {
        let state = Folder::new();
        copy(&self.template().join("gocache"), state.path());
        let mut harness = self.open(state.path().to_owned(), setup);
        harness.folder = Some(state);
        harness
    }

    fn open(&self, state: PathBuf, setup: Setup) -> Harness<'_> {
        let Setup { way, toolchain, program, size, replay } = setup;
        fs::create_dir_all(&state).expect("a state directory");
        let overlays = way == Way::Mount && self.backend.capabilities().overlays;
        let watched = Arc::new(Watched::new(self.backend.clone(), overlays, self.overheard));
        let islands = Islands::new(watched.clone());
        let mirror = Mirror {
            prefix: "example.com".into(),
            target: self.folder.path().join("git").to_str().expect("a path").into(),
        };
        let (sources, builder) = sources_and_builder(PartsOptions {
            islands: &islands,
            state: &state,
            program: &self.program(),
            build_program: &program,
            toolchain: &toolchain,
            mirrors: vec![mirror],
            size,
            replay,
        });
        Harness { site: self, folder: None, state, watched, islands, sources, builder }
    }
}

/// A state directory and what works in it.
pub struct Harness<'a> {
    site: &'a Site,
    folder: Option<Folder>,
    state: PathBuf,
    watched: Arc<Watched>,
    islands: Islands,
    sources: Arc<Sources>,
    builder: Arc<Builder>,
}

impl Harness<'_> {
    /// The same state directory, with what is usual.
    pub fn reopened(self, way: Way) -> Self {
        let setup = self.site.setup(way);
        self.refurnished(setup)
    }

    /// The same state directory, with something else.
    pub fn refurnished(mut self, setup: Setup) -> Self {
        let folder = self.folder.take();
        let (site, state) = (self.site, self.state.clone());
        drop(self);
        Harness { folder, ..site.open(state, setup) }
    }

    /// Finds the program of a call on a runtime of one thread. Returns how often another task had
    /// its turn meanwhile.
    pub fn turns_of_others(&self, call: &str, turn: Duration) -> u32 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut find = std::pin::pin!(find(self.sources.clone(), self.builder.clone(), call));
            let mut turns = 0;
            loop {
                match tokio::time::timeout(turn, &mut find).await {
                    Ok(built) => break built.map(|_| turns).expect("an artifact"),
                    Err(_) => turns += 1,
                }
            }
        })
    }

    pub fn state(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// Has the package fetched, for those who measure builds.
    pub fn fetch(&self) {
        self.site.runtime.block_on(checkout(&self.sources));
    }

    /// Has the layer of the whole standard library made.
    pub fn warm(&self) {
        self.site.runtime.block_on(self.builder.warm()).expect("the standard library");
    }

    pub fn build(&self, call: &str) -> Built {
        self.try_build(call).unwrap_or_else(|error| panic!("{call}: {error:?}"))
    }

    pub fn try_build(&self, call: &str) -> Result<Built, Arc<BuildError>> {
        self.find(call, false)
    }

    /// The same, or compiled anew.
    pub fn find(&self, call: &str, bust: bool) -> Result<Built, Arc<BuildError>> {
        self.site.runtime.block_on(async {
            self.builder.find(client(), &wanted(&self.sources, call).await, bust).await
        })
    }

    /// What the call is compiled to when its function's program cannot represent the arguments.
    pub fn find_exact(&self, call: &str) -> Result<Built, Arc<BuildError>> {
        self.site.runtime.block_on(async {
            self.builder.find_exact(client(), &wanted(&self.sources, call).await, false).await
        })
    }

    /// Builds all of them at the same time.
    pub fn build_all(&self, calls: &[String]) -> Vec<Built> {
        self.site.runtime.block_on(async {
            let start = |call: &String| {
                let (sources, builder, call) =
                    (self.sources.clone(), self.builder.clone(), call.clone());
                tokio::spawn(async move { find(sources, builder, &call).await })
            };
            let started: Vec<_> = calls.iter().map(start).collect();
            let mut built = Vec::new();
            for build in started {
                built.push(build.await.expect("a build").expect("an artifact"));
            }
            built
        })
    }

    /// What a program prints.
    pub fn run(&self, built: &Built) -> String {
        let mut spec = Spec::function(built.artifact.program(), limits());
        spec.arguments = Some(built.arguments.clone());
        let outcome = self.site.runtime.block_on(self.islands.run(&spec)).expect("an island");
        assert_eq!(outcome.ending, Ending::Exited(0));
        String::from_utf8(outcome.stdout).expect("text")
    }

    /// The packages that were compiled since the last look.
    pub fn compiled(&self) -> Vec<String> {
        self.compiled_by().1
    }

    /// The same, and how often the go command had it done.
    pub fn compiled_by(&self) -> (usize, Vec<String>) {
        let text = self.watched.said();
        let commands = text.lines().filter(|line| line.starts_with("WORK=")).count();
        let compiles = text.lines().filter(|line| line.contains("/compile -o "));
        let package = |line: &str| line.split(" -p ").nth(1)?.split(' ').next().map(str::to_owned);
        (commands, compiles.filter_map(package).collect())
    }
}

async fn find(
    sources: Arc<Sources>,
    builder: Arc<Builder>,
    call: &str,
) -> Result<Built, Arc<BuildError>> {
    builder.find(client(), &wanted(&sources, call).await, false).await
}

async fn wanted(sources: &Arc<Sources>, call: &str) -> BuildRequest {
    let checkout = checkout(sources).await;
    let call = Arc::new(Call::parse(call).expect("a call"));
    BuildRequest { checkout, call, imports: Vec::new() }
}

async fn checkout(sources: &Arc<Sources>) -> Arc<Checkout> {
    let path = ImportPath::parse(PATH).expect("a path");
    let want = PackageRequest { path, version: None, imports: Vec::new() };
    sources.find(client(), &want, false).await.expect("a checkout")
}

/// The whole program.
pub fn bytes(built: &Built) -> Vec<u8> {
    let file = built.artifact.program();
    let mut bytes = vec![0; file.metadata().expect("metadata").len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("the program");
    bytes
}

/// A folder that islands of another user can read, and that goes with this value.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let readable = fs::Permissions::from_mode(0o755);
        let mut builder = tempfile::Builder::new();
        let made = builder.prefix("sky-build-cache-").permissions(readable).tempdir();
        Self(made.expect("a temporary folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A mount leaves folders that not even their owner may look into.
        let opened = Command::new("chmod").args(["-R", "u+rwx"]).arg(self.path()).status();
        assert!(opened.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Copies with owners and times.
fn copy(from: &Path, into: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(into).status();
    assert!(copied.is_ok_and(|status| status.success()), "{}", from.display());
}
