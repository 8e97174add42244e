//! The job of a build island, and the folder `/job` with its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build_trace::BuildTrace;
use super::receiver::{self, Replacement};
use crate::source::Checkout;
use island::Bind;

/// The flags of every build; the layers of the build cache depend on them. Programs have no build
/// id, because a replayed build would have another one than the go command's. A package with an
/// object file of its own is linked without the C compiler of the host, or not at all
/// (`-linkmode=internal`), and a program that needs a dynamic loader is refused (`-d`), because an
/// island has none.
pub(super) const FLAGS: [&str; 3] =
    ["-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid= -linkmode=internal -d"];
/// The path of this program on an island.
pub(super) const PROGRAM: &str = "/sky-island";
/// The path on an island of the program that is made.
pub(super) const MADE: &str = "/out/main";
/// The folder, in the module, that main.go appears to lie in; a module that has one gets a longer
/// name.
const MAIN_DIR: &str = "sky_island_call";

/// What to compile.
pub(super) enum CompileJob {
    /// Packages of the standard library, for their entries in the build cache.
    Packages { packages: &'static [&'static str], background: bool },
    /// A program: the given main.go in a checkout's module.
    Program { checkout: Arc<Checkout>, main_go: String, mode: CompileMode },
}

/// How to compile a program.
pub(super) enum CompileMode {
    /// By the go command.
    Command,
    /// By the go command, which prints its commands.
    Printed,
    /// By the commands that the go command printed for another main.go.
    Replay(Arc<BuildTrace>),
}

/// How an island is started to do a job.
pub(super) struct IslandTask {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) folder: PathBuf,
    pub(super) stdin: Vec<u8>,
    pub(super) binds: Vec<Bind>,
}

impl CompileJob {
    /// Whether calls have precedence.
    pub(super) fn is_background(&self) -> bool {
        matches!(self, Self::Packages { background: true, .. })
    }

    /// The package that a program calls.
    pub(super) fn module(&self) -> Option<&str> {
        match self {
            Self::Packages { .. } => None,
            Self::Program { checkout, .. } => Some(checkout.import_path().as_str()),
        }
    }

    /// Whether the go command prints its commands.
    pub(super) fn is_printed(&self) -> bool {
        matches!(self, Self::Program { mode: CompileMode::Printed, .. })
    }

    /// Writes the job's files into the folder `job`, which an island sees as `/job`. `program` is
    /// the path of this program on the host.
    pub(super) fn lay_out(
        &self,
        goroot: &Path,
        program: &Path,
        job: &Path,
    ) -> std::io::Result<IslandTask> {
        if let Self::Program { main_go, mode: CompileMode::Replay(trace), .. } = self {
            std::fs::write(job.join("main.go"), main_go)?;
            return Ok(IslandTask {
                program: PROGRAM.into(),
                args: ["sky-island", "build-worker"].map(str::to_owned).to_vec(),
                folder: "/tmp".into(),
                stdin: serde_json::to_vec(&**trace)?,
                binds: vec![read_only(program.to_owned(), PROGRAM)],
            });
        }
        let mut args = vec!["go".to_owned(), "build".to_owned()];
        args.extend(FLAGS.map(str::to_owned));
        args.push("-overlay=/job/overlay.json".to_owned());
        let mut replace = receiver::lay_out(goroot, job)?;
        let (folder, binds) = match self {
            Self::Packages { packages, background } => {
                // One processor is left to the calls.
                args.extend(background.then(|| "-p=1".to_owned()));
                args.extend(packages.iter().map(|package| (*package).to_owned()));
                (goroot.join("src"), Vec::new())
            }
            Self::Program { checkout, main_go, mode } => {
                let main_dir = main_dir(checkout);
                std::fs::write(job.join("main.go"), main_go)?;
                replace.extend(replaced_files(checkout, &main_dir));
                let modules = if checkout.is_vendored() { "-mod=vendor" } else { "-mod=readonly" };
                args.extend(matches!(mode, CompileMode::Printed).then(|| "-x".to_owned()));
                args.extend([modules, "-o", MADE].map(str::to_owned));
                args.push(format!("./{main_dir}"));
                (module_folder(checkout), checkout_binds(checkout))
            }
        };
        let overlay = serde_json::json!({ "Replace": replace }).to_string();
        std::fs::write(job.join("overlay.json"), overlay)?;
        Ok(IslandTask { program: goroot.join("bin/go"), args, folder, stdin: Vec::new(), binds })
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

/// Where the go command sees main.go and the completed go.mod and go.sum.
fn replaced_files(checkout: &Checkout, main_dir: &str) -> Vec<Replacement> {
    let module = module_folder(checkout);
    let completed = ["go.mod", "go.sum"].into_iter();
    let completed = completed.filter(|name| checkout.replacements().join(name).exists());
    let completed = completed
        .map(|name| receiver::replace(&module.join(name), format!("/checkout/overlay/{name}")));
    let main = receiver::replace(&module.join(main_dir).join("main.go"), "/job/main.go".to_owned());
    std::iter::once(main).chain(completed).collect()
}

fn checkout_binds(checkout: &Checkout) -> Vec<Bind> {
    let folders = [
        (checkout.source(), "/checkout/src"),
        (checkout.dependencies(), "/checkout/deps"),
        (checkout.replacements(), "/checkout/overlay"),
    ];
    let existing = folders.into_iter().filter(|(source, _)| source.exists());
    existing.map(|(source, target)| read_only(source, target)).collect()
}

fn read_only(source: PathBuf, target: &str) -> Bind {
    Bind { source, target: target.into(), writable: false }
}
