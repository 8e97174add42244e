//! One run of the compiler on a build island.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use island::{
    Bind, Disk, Islands, Label, Limits, Program, Purpose, Rights, Spec, StartError, ToolRights,
};

use super::artifact::PROGRAM;
use super::job::CompileJob;
use super::layering::{self, Layering};
use super::output::BuildOutput;
use crate::compile::diagnostics::Diagnostic;
use crate::source::Checkout;
use crate::store::StoreError;
use crate::store::Trash;

/// Output of a build, in bytes.
const OUTPUT_BYTES: u64 = 4 << 20;
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
    Refused(Diagnostic, String),
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
        job: CompileJob<'_>,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<BuildOutput, BuildError> {
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
        let mut limits = Limits {
            processes: PROCESSES,
            output: OUTPUT_BYTES,
            disk: Some(disk),
            ..self.limits.clone()
        };
        if let CompileJob::Packages { .. } = job {
            limits.deadline = LIBRARY_DEADLINE;
        }
        let task = job
            .lay_out(&goroot, &self.program, &scratch.path().join("job"))
            .map_err(BuildError::Disk)?;
        let seen_already = |bind: &Bind| binds.iter().any(|other| other.target == bind.target);
        let more: Vec<_> = task.binds.into_iter().filter(|bind| !seen_already(bind)).collect();
        binds.extend(more);
        let spec = Spec {
            rights: Rights::Tool(ToolRights {
                purpose: Purpose::Build,
                binds,
                overlay: seen.overlay,
                background: job.is_background(),
            }),
            program: Program::Path(task.program.display().to_string()),
            args: task.args,
            env: self.environment().into_iter().chain(seen.env).collect(),
            folder: task.folder.display().to_string(),
            stdin: task.stdin,
            arguments: None,
            limits,
            address: None,
            label: Label { module: job.module().map(Into::into), call: None },
        };
        let outcome = self.islands.run(&spec).await?;
        let program = scratch.path().join("out").join(PROGRAM);
        Ok(BuildOutput {
            outcome,
            program,
            printed: job.is_printed(),
            limits: spec.limits,
            _scratch: scratch,
        })
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
