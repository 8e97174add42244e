//! The fast way: packages fetched, functions built and called on islands, as the server does it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use goexpr::Call;
use island::{Backend, Ending, Islands, Options, Outcome, Spec, choose};
use server::compile::{BuildError, BuildRequest, Builder, Toolchain};
use server::source::{ImportPath, Mirror, PackageRequest, Sources};
use tokio::runtime::Runtime;

use crate::support::git_repo::BareRepo;
use crate::support::parts::{PartsOptions, ROOM, client, limits, sources_and_builder};
use crate::{Answer, Module};

/// How many calls are made at a time.
const AT_A_TIME: usize = 3;

/// What became of a call in the function form.
#[derive(Clone, Debug, PartialEq)]
pub enum Fast {
    Answer(Answer),
    /// The call has no function form, or its function does not compile in it.
    None,
    /// The program could not represent the arguments.
    Unrepresentable,
    /// The package, or the call as it stands, does not compile.
    Refused(String),
}

/// A server's parts, without the server.
pub struct Lab {
    runtime: Runtime,
    backend: Arc<dyn Backend>,
    islands: Islands,
    sources: Arc<Sources>,
    builder: Arc<Builder>,
    folder: tempfile::TempDir,
}

impl Lab {
    /// A lab that knows these modules, or why this host cannot have one.
    pub fn open(modules: &[Module]) -> Result<Self, String> {
        let toolchain = Toolchain::find(None).map_err(|e| e.to_string())?;
        let readable = fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(readable).tempdir().expect("a folder");
        let root = folder.path();
        let program = root.join("sky-island");
        fs::copy(env!("CARGO_BIN_EXE_sky-island"), &program).expect("our own program is copied");
        for module in modules {
            let repository = root.join(format!("git/{}.git", module.path));
            BareRepo::create(&repository).commit_folder("master", &module.source);
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        let options = Options {
            launcher: program.clone(),
            zones: None,
            function: limits().resources,
            ahead: 2,
            pools: Default::default(),
            jails: None,
            reuse: Default::default(),
        };
        let backend = runtime.block_on(choose(options)).map_err(|e| e.to_string())?;
        let islands = Islands::new(backend.clone());
        let state = root.join("state");
        fs::create_dir(&state).expect("a folder");
        let (sources, builder) = parts(&islands, &toolchain, root, &state, &program);
        Ok(Self { runtime, backend, islands, sources, builder, folder })
    }

    /// Calls in the function form, where there is one.
    pub fn call(&self, path: &str, call: &str) -> Fast {
        self.runtime.block_on(async {
            let wanted = self.wanted(path, call).await;
            let built = match self.builder.find(client(), &wanted, false).await {
                Ok(built) if !built.arguments.is_empty() => built,
                Ok(_) => return Fast::None,
                Err(error) => return refused(&error),
            };
            let mut spec = Spec::function(built.artifact.program(), limits());
            spec.arguments = Some(built.arguments);
            let outcome = self.islands.run(&spec).await.expect("an island");
            match outcome.ending {
                Ending::Unrepresentable => Fast::Unrepresentable,
                _ => Fast::Answer(answer(outcome)),
            }
        })
    }

    /// The same for many calls, a few at a time.
    pub fn call_all(&self, path: &str, calls: &[String]) -> Vec<Fast> {
        let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![Fast::None; calls.len()]));
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(call) = calls.get(at) else { break };
                        let answer = self.call(path, call);
                        found.lock().expect("no panic")[at] = answer;
                    }
                });
            }
        });
        found.into_inner().expect("no panic")
    }

    /// Calls as it stands, as the server does when the function form could not be used.
    pub fn exact(&self, path: &str, call: &str) -> Fast {
        self.runtime.block_on(async {
            let wanted = self.wanted(path, call).await;
            let built = match self.builder.find_exact(client(), &wanted, false).await {
                Ok(built) => built,
                Err(error) => return refused(&error),
            };
            let mut spec = Spec::function(built.artifact.program(), limits());
            spec.arguments = Some(built.arguments);
            Fast::Answer(answer(self.islands.run(&spec).await.expect("an island")))
        })
    }

    async fn wanted(&self, path: &str, call: &str) -> BuildRequest {
        let path = ImportPath::parse(path).expect("a path");
        let want = PackageRequest { path, version: None, imports: Vec::new() };
        let checkout = self.sources.find(client(), &want, false).await.expect("a checkout");
        let call = Arc::new(Call::parse(call).unwrap_or_else(|e| panic!("{call}: {e}")));
        BuildRequest { checkout, call, imports: Vec::new() }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.runtime.block_on(self.backend.close());
        // A mount leaves folders that not even their owner may look into.
        let mut chmod = std::process::Command::new("chmod");
        let _ = chmod.args(["-R", "u+rwx"]).arg(self.folder.path()).status();
    }
}

fn parts(
    islands: &Islands,
    toolchain: &Toolchain,
    root: &Path,
    state: &Path,
    program: &Path,
) -> (Arc<Sources>, Arc<Builder>) {
    let mirror = |host: &str| Mirror {
        prefix: host.into(),
        target: root.join("git").join(host).to_str().expect("a path").into(),
    };
    sources_and_builder(PartsOptions {
        islands,
        state,
        program,
        build_program: program,
        toolchain,
        mirrors: vec![mirror("example.com"), mirror("github.com")],
        size: ROOM,
        replay: true,
    })
}

fn refused(error: &BuildError) -> Fast {
    match error {
        BuildError::Refused(..) => Fast::Refused(error.to_string()),
        other => panic!("{other:?}"),
    }
}

fn answer(outcome: Outcome) -> Answer {
    let Ending::Exited(status) = outcome.ending else { panic!("{outcome:?}") };
    Answer { stdout: outcome.stdout, status }
}
