//! One run of the compiler on a build island.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::artifact::PROGRAM;
use super::layering::{self, Layering};
use super::{Complaint, diagnose, receiver};
use crate::island::{
    Bind, Disk, Ending, Islands, Label, Limits, Outcome, Program, Purpose, Rights, Spec,
    StartError, ToolRights,
};
use crate::source::Checkout;
use crate::store::{StoreError, Trash};

/// The flags of every build; the layers of the build cache depend on them.
pub(super) const FLAGS: [&str; 3] = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w"];
/// The folder, in the module, that main.go appears to lie in; a module that has one gets a longer name.
const MAIN_DIR: &str = "sky_island_call";
/// Output of a build, in bytes.
const OUTPUT_BYTES: u64 = 1 << 20;
/// Processes and threads of a build.
const PROCESSES: u64 = 512;
/// The deadline of compiling the standard library.
const LIBRARY_DEADLINE: Duration = Duration::from_secs(900);

/// What runs the go command on islands.
pub struct Compiler {
    /// The islands to work on.
    pub islands: Islands,
    /// Where scratch folders are made.
    pub trash: Arc<Trash>,
    /// Our own program, which answers for the build cache where the kernel does not.
    pub program: PathBuf,
    /// The toolchain.
    pub toolchain: super::Toolchain,
    /// What one build may use; `disk` and `output` are set for each.
    pub limits: Limits,
    /// Bytes that a build may leave on disk.
    pub size: u64,
}

/// No artifact.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The compiler refuses it; the text is for the caller.
    #[error("{1}")]
    Refused(Complaint, String),
    /// The call names another package than the one that was fetched.
    #[error("the call begins with {found}, but the package is called {name}")]
    Qualifier {
        /// What the call says.
        found: String,
        /// What the package clause says.
        name: String,
    },
    /// The deadline passed.
    #[error("the build did not end within {0:?}")]
    Deadline(Duration),
    /// The compiler or the linker needed more memory than it may use.
    #[error("the build needs more memory than {0} bytes")]
    Memory(u64),
    /// It wrote too much, to its output or to disk.
    #[error("the build writes more than it may")]
    Size,
    /// Too many builds are waiting.
    #[error("too many builds are waiting")]
    Busy,
    /// An operator has stopped it.
    #[error("an operator has stopped the build")]
    Stopped,
    /// No island.
    #[error("the build could not start")]
    Start(#[from] StartError),
    /// The compiler broke.
    #[error("the build broke: {0}")]
    Broke(String),
    /// The disk.
    #[error("the disk: {0}")]
    Disk(#[source] std::io::Error),
    /// The cache.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to compile.
pub(super) enum Job<'a> {
    /// Packages of the standard library, for their entries in the build cache.
    Packages { packages: Vec<String>, background: bool },
    /// A program: the given main.go in a checkout's module.
    Program { checkout: &'a Checkout, main_go: &'a str },
}

impl Compiler {
    /// The host's user id behind the compiler's.
    pub(super) fn owner(&self) -> Option<u32> {
        self.islands.backend().owner(Purpose::Build)
    }

    /// How layers of the build cache are laid over each other here.
    pub(super) fn layering(&self) -> Layering {
        Layering::choose(self.islands.backend().overlays(), self.toolchain.minor())
    }

    /// Runs the compiler. `layers` of the build cache lie below the folder `upper` in `cache`, which it may write; without
    /// one, what it caches goes when the job's scratch folder does, which the answer owns.
    pub(super) async fn run(
        &self,
        job: Job<'_>,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Ran, BuildError> {
        let scratch = self.trash.scratch().map_err(BuildError::Disk)?;
        let owner = self.owner();
        let mut binds = Vec::new();
        for (name, writable) in [("tmp", true), ("out", true), ("job", false)] {
            let source =
                scratch.folder(name, owner.filter(|_| writable)).map_err(BuildError::Disk)?;
            binds.push(Bind { source, target: Path::new("/").join(name), writable });
        }
        let goroot = self.toolchain.goroot().to_owned();
        binds.push(Bind { source: goroot.clone(), target: goroot.clone(), writable: false });
        let (upper, work) = match cache {
            Some(cache) => (cache.join("upper"), cache.join("work")),
            None => {
                let make = |name| scratch.folder(name, owner).map_err(BuildError::Disk);
                (make("upper")?, make("work")?)
            }
        };
        let folders = layering::Folders { lower: layers, upper: &upper, work: &work };
        let seen = layering::lay(self.layering(), &folders, &self.program);
        binds.extend(seen.binds);
        // Not an overlay's work folder: what the kernel keeps there an ordinary user may not even look at.
        let writable = binds.iter().filter(|bind| bind.writable).map(|bind| &bind.source);
        let written = writable.chain(seen.overlay.iter().map(|overlay| &overlay.upper));
        let disk = Disk { folders: written.cloned().collect(), bytes: self.size };
        let mut args = vec!["go".to_owned(), "build".to_owned()];
        args.extend(FLAGS.map(str::to_owned));
        let mut limits = Limits {
            processes: PROCESSES,
            output: OUTPUT_BYTES,
            disk: Some(disk),
            ..self.limits.clone()
        };
        let background = matches!(job, Job::Packages { background: true, .. });
        args.push("-overlay=/job/overlay.json".to_owned());
        let laid = scratch.path().join("job");
        let mut replace = serde_json::Map::new();
        receiver::lay_out(&goroot, &laid, &mut replace).map_err(BuildError::Disk)?;
        let module = match &job {
            Job::Packages { .. } => None,
            Job::Program { checkout, .. } => Some(checkout.import_path().as_str().into()),
        };
        let folder = match job {
            Job::Packages { packages, .. } => {
                limits.deadline = LIBRARY_DEADLINE;
                // One processor is left to the calls.
                args.extend(background.then(|| "-p=1".to_owned()));
                args.extend(packages);
                self.toolchain.goroot().join("src").display().to_string()
            }
            Job::Program { checkout, main_go } => {
                let main_dir = main_dir(checkout);
                lay_out(checkout, &main_dir, main_go, &laid, &mut replace)
                    .map_err(BuildError::Disk)?;
                binds.extend(checkout_binds(checkout));
                let mode = if checkout.is_vendored() { "-mod=vendor" } else { "-mod=readonly" };
                args.extend([mode, "-o"].map(str::to_owned));
                args.push(format!("/out/{PROGRAM}"));
                args.push(format!("./{main_dir}"));
                module_folder(checkout).display().to_string()
            }
        };
        let overlay = serde_json::json!({ "Replace": replace }).to_string();
        std::fs::write(laid.join("overlay.json"), overlay).map_err(BuildError::Disk)?;
        let spec = Spec {
            rights: Rights::Tool(ToolRights {
                purpose: Purpose::Build,
                binds,
                overlay: seen.overlay,
                background,
            }),
            program: Program::Path(self.toolchain.goroot().join("bin/go").display().to_string()),
            args,
            env: self.environment().into_iter().chain(seen.env).collect(),
            folder,
            stdin: Vec::new(),
            arguments: None,
            limits,
            address: None,
            label: Label { module, call: None },
        };
        let outcome = self.islands.run(&spec).await?;
        let program = scratch.path().join("out").join(PROGRAM);
        Ok(Ran { outcome, program, limits: spec.limits, _scratch: scratch })
    }

    /// Throws away what builds of a checkout have cached, which may be what fills the disk.
    pub(super) fn empty_cache(&self, checkout: &Checkout) -> std::io::Result<()> {
        let fresh = self.trash.scratch()?;
        for name in ["upper", "work"] {
            let (old, new) = (checkout.build_cache().join(name), fresh.folder(name, self.owner())?);
            std::fs::rename(&old, fresh.path().join(format!("{name}.old")))?;
            std::fs::rename(new, old)?;
        }
        Ok(())
    }

    fn environment(&self) -> Vec<String> {
        let goroot = self.toolchain.goroot().display();
        let mut env: Vec<String> = [
            "CGO_ENABLED=0",
            "GOTOOLCHAIN=local",
            "GOPROXY=off",
            "GOSUMDB=off",
            "GOWORK=off",
            "GOENV=off",
            "GOFLAGS=",
            "GO111MODULE=on",
            "XDG_CONFIG_HOME=/config",
            "GOMODCACHE=/checkout/deps",
            "GOPATH=/tmp/gopath",
            "GOTMPDIR=/tmp",
            "HOME=/tmp",
            "TMPDIR=/tmp",
            "LANG=C",
        ]
        .map(str::to_owned)
        .to_vec();
        env.push(format!("PATH={goroot}/bin:/usr/bin:/bin"));
        env.push(format!("GOROOT={goroot}"));
        env
    }
}

/// A run of the compiler that ended.
pub(super) struct Ran {
    outcome: Outcome,
    /// Where the program lies, if one was made.
    pub(super) program: PathBuf,
    limits: Limits,
    _scratch: crate::store::Scratch,
}

impl Ran {
    /// What the compiler complained of, if that is how it ended.
    pub(super) fn complaint(&self) -> Option<String> {
        match self.outcome.ending {
            Ending::Exited(1 | 2) => {
                let stderr = String::from_utf8_lossy(&self.outcome.stderr);
                (!diagnose::is_of_the_cache(&stderr)).then(|| stderr.into_owned())
            }
            _ => None,
        }
    }

    /// Success, or why not.
    pub(super) fn accept(&self) -> Result<(), BuildError> {
        match self.outcome.ending {
            Ending::Exited(0) => Ok(()),
            Ending::Deadline => Err(BuildError::Deadline(self.limits.deadline)),
            Ending::Stopped => Err(BuildError::Stopped),
            Ending::Memory => Err(BuildError::Memory(self.limits.memory)),
            Ending::Output | Ending::Disk => Err(BuildError::Size),
            other => {
                let stderr = String::from_utf8_lossy(&self.outcome.stderr);
                Err(BuildError::Broke(format!("{other:?}: {stderr:.2000}")))
            }
        }
    }
}

fn module_folder(checkout: &Checkout) -> PathBuf {
    Path::new("/checkout/src").join(checkout.module_dir())
}

/// A folder that the module does not have, so that main.go is alone in it.
fn main_dir(checkout: &Checkout) -> String {
    let module = checkout.source().join(checkout.module_dir());
    let mut name = MAIN_DIR.to_owned();
    while module.join(&name).symlink_metadata().is_ok() {
        name.push('_');
    }
    name
}

/// Writes main.go, and adds where the go command is to see it and the completed go.mod and go.sum.
fn lay_out(
    checkout: &Checkout,
    main_dir: &str,
    main_go: &str,
    job: &Path,
    replace: &mut serde_json::Map<String, serde_json::Value>,
) -> std::io::Result<()> {
    std::fs::write(job.join("main.go"), main_go)?;
    let module = module_folder(checkout);
    let mut add = |seen: PathBuf, real: &str| {
        replace.insert(seen.display().to_string(), serde_json::Value::from(real));
    };
    add(module.join(main_dir).join("main.go"), "/job/main.go");
    for name in ["go.mod", "go.sum"] {
        if checkout.replacements().join(name).exists() {
            add(module.join(name), &format!("/checkout/overlay/{name}"));
        }
    }
    Ok(())
}

fn checkout_binds(checkout: &Checkout) -> Vec<Bind> {
    let folders = [
        (checkout.source(), "/checkout/src"),
        (checkout.dependencies(), "/checkout/deps"),
        (checkout.replacements(), "/checkout/overlay"),
    ];
    let existing = folders.into_iter().filter(|(source, _)| source.exists());
    existing
        .map(|(source, target)| Bind { source, target: target.into(), writable: false })
        .collect()
}
