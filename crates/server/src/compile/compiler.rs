//! One run of the compiler on a build island.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use island::{
    Bind, Disk, FolderOwner, Islands, Label, Limits, Program, Purpose, Rights, Setup, Spec,
    ToolRights,
};

use super::artifact::PROGRAM;
use super::error::BuildError;
use super::job::CompileJob;
use super::layering::{self, Layering};
use super::output::BuildOutput;
use super::toolchain::Toolchain;
use crate::blocking::blocking;
use crate::source::Checkout;
use crate::store::{Scratch, Trash};

/// Output of a build, in bytes.
const OUTPUT_BYTES: u64 = 4 << 20;
/// Processes and threads that a build may have.
pub const BUILD_PROCESSES: u64 = 512;
/// The deadline of compiling the standard library.
const LIBRARY_DEADLINE: Duration = Duration::from_secs(900);

/// Runs the go command on build islands.
pub struct Compiler {
    /// The islands to work on.
    pub islands: Islands,
    /// Where scratch folders are made.
    pub trash: Arc<Trash>,
    /// The path of this program, which answers for the build cache where the kernel does not, and
    /// replays builds.
    pub program: PathBuf,
    /// The toolchain.
    pub toolchain: Toolchain,
    /// What one build may use; `disk` and `output` are set for each.
    pub limits: Limits,
    /// Bytes that a build may leave on disk.
    pub size: u64,
    /// Whether a build of a main.go with known imports replays the compiler and the linker without
    /// the go command.
    pub replay: bool,
}

impl Compiler {
    /// Who owns the folders that the compiler writes.
    pub(super) fn owner(&self) -> Option<FolderOwner> {
        self.islands.backend().owner(Purpose::Build)
    }

    /// How layers of the build cache are laid over each other on this host.
    pub(super) fn layering(&self) -> Layering {
        Layering::choose(self.islands.backend().capabilities().overlays)
    }

    /// Runs the compiler. `layers` of the build cache lie below the folder `upper` in `cache`,
    /// which the compiler may write; without `cache`, what the compiler caches is deleted with the
    /// output's scratch folder.
    pub(super) async fn run(
        self: &Arc<Self>,
        job: CompileJob,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<BuildOutput, BuildError> {
        let (me, layers, cache) = (self.clone(), layers.to_vec(), cache.map(Path::to_owned));
        let printed = job.is_printed();
        let (scratch, spec) = blocking(move || me.prepare(&job, &layers, cache.as_deref())).await?;
        let outcome = self.islands.run(&spec).await?;
        let program = scratch.path().join("out").join(PROGRAM);
        let disk = self.size;
        let limits = Limits { resources: spec.setup.resources, bounds: spec.bounds };
        Ok(BuildOutput { outcome, program, printed, limits, disk, _scratch: scratch })
    }

    /// Makes the folders of a run, and says how its island is started. Writes to the disk.
    fn prepare(
        &self,
        job: &CompileJob,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> std::io::Result<(Scratch, Spec)> {
        let scratch = self.trash.scratch()?;
        let owner = self.owner();
        let mut binds = Vec::new();
        for (name, writable) in [("tmp", true), ("out", true), ("job", false)] {
            let source = scratch.folder(name, owner.filter(|_| writable))?;
            binds.push(Bind { source, target: Path::new("/").join(name), writable });
        }
        let goroot = self.toolchain.goroot().to_owned();
        binds.push(Bind { source: goroot.clone(), target: goroot.clone(), writable: false });
        let (upper, work) = match cache {
            Some(cache) => (cache.join("upper"), cache.join("work")),
            None => (scratch.folder("upper", owner)?, scratch.folder("work", owner)?),
        };
        let folders = layering::Folders { lower: layers, upper: &upper, work: &work };
        let seen = layering::lay(self.layering(), &folders, &self.program);
        binds.extend(seen.binds);
        // An overlay's work folder is not measured: an ordinary user may not look into what the
        // kernel keeps there.
        let writable = binds.iter().filter(|bind| bind.writable).map(|bind| &bind.source);
        let written = writable.chain(seen.overlay.iter().map(|overlay| &overlay.upper));
        let disk = Disk { folders: written.cloned().collect(), bytes: self.size };
        let Limits { mut resources, mut bounds } = self.limits.clone();
        (resources.processes, resources.disk) = (BUILD_PROCESSES, Some(disk));
        bounds.output = OUTPUT_BYTES;
        if let CompileJob::Packages { .. } = job {
            bounds.deadline = LIBRARY_DEADLINE;
        }
        let task = job.lay_out(&goroot, &self.program, &scratch.path().join("job"))?;
        let is_new = |bind: &Bind| binds.iter().all(|other| other.target != bind.target);
        let more: Vec<_> = task.binds.into_iter().filter(is_new).collect();
        binds.extend(more);
        let rights = Rights::Tool(ToolRights {
            purpose: Purpose::Build,
            binds,
            overlay: seen.overlay,
            background: job.is_background(),
        });
        let spec = Spec {
            setup: Setup { rights, resources, address: None },
            bounds,
            program: Program::Path(task.program.display().to_string()),
            args: task.args,
            env: self.environment().into_iter().chain(seen.env).collect(),
            folder: task.folder.display().to_string(),
            stdin: task.stdin,
            arguments: None,
            label: Label { module: job.module().map(Into::into), call: None },
        };
        Ok((scratch, spec))
    }

    /// Removes what builds of a checkout have cached. Writes to the disk.
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
