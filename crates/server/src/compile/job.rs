//! What a build island has to do, and the folder `/job` in which that lies.

use std::path::{Path, PathBuf};

use island::Bind;
use serde_json::{Map, Value};

use super::build_trace::BuildTrace;
use super::receiver;
use crate::source::Checkout;

/// The flags of every build; the layers of the build cache depend on them. No program has an id of its build, which would
/// tell one that a recipe made from the go command's.
pub(super) const FLAGS: [&str; 3] = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="];
/// Where an island finds our own program.
pub(super) const PROGRAM: &str = "/sky-island";
/// Where an island puts the program that it makes.
pub(super) const MADE: &str = "/out/main";
/// The folder, in the module, that main.go appears to lie in; a module that has one gets a longer name.
const MAIN_DIR: &str = "sky_island_call";

/// What to compile.
#[derive(Clone, Copy)]
pub(super) enum CompileJob<'a> {
    /// Packages of the standard library, for their entries in the build cache.
    Packages { packages: &'a [&'a str], background: bool },
    /// A program: the given main.go in a checkout's module.
    Program { checkout: &'a Checkout, main_go: &'a str, how: CompileMode<'a> },
}

/// How to compile a program.
#[derive(Clone, Copy)]
pub(super) enum CompileMode<'a> {
    /// By the go command.
    Command,
    /// By the go command, which is to print what it does.
    Printed,
    /// As the go command did it for another main.go.
    BuildTrace(&'a BuildTrace),
}

/// What an island is started with to do it.
pub(super) struct IslandTask {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) folder: PathBuf,
    pub(super) stdin: Vec<u8>,
    pub(super) binds: Vec<Bind>,
}

impl CompileJob<'_> {
    /// Whether calls go before it.
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

    /// Whether the go command prints what it does.
    pub(super) fn is_printed(&self) -> bool {
        matches!(self, Self::Program { how: CompileMode::Printed, .. })
    }

    /// Writes into the folder `job`, which an island sees as `/job`, what is needed there. `own` is our own program.
    pub(super) fn lay_out(
        &self,
        goroot: &Path,
        own: &Path,
        job: &Path,
    ) -> std::io::Result<IslandTask> {
        if let Self::Program { main_go, how: CompileMode::BuildTrace(recipe), .. } = self {
            std::fs::write(job.join("main.go"), main_go)?;
            return Ok(IslandTask {
                program: PROGRAM.into(),
                args: ["sky-island", "build-worker"].map(str::to_owned).to_vec(),
                folder: "/tmp".into(),
                stdin: serde_json::to_vec(recipe)?,
                binds: vec![read_only(own.to_owned(), PROGRAM)],
            });
        }
        let mut args = vec!["go".to_owned(), "build".to_owned()];
        args.extend(FLAGS.map(str::to_owned));
        args.push("-overlay=/job/overlay.json".to_owned());
        let mut replace = Map::new();
        receiver::lay_out(goroot, job, &mut replace)?;
        let (folder, binds) = match self {
            Self::Packages { packages, background } => {
                // One processor is left to the calls.
                args.extend(background.then(|| "-p=1".to_owned()));
                args.extend(packages.iter().map(|package| (*package).to_owned()));
                (goroot.join("src"), Vec::new())
            }
            Self::Program { checkout, main_go, how } => {
                let main_dir = main_dir(checkout);
                std::fs::write(job.join("main.go"), main_go)?;
                replace_files(checkout, &main_dir, &mut replace);
                let mode = if checkout.is_vendored() { "-mod=vendor" } else { "-mod=readonly" };
                args.extend(matches!(how, CompileMode::Printed).then(|| "-x".to_owned()));
                args.extend([mode, "-o", MADE].map(str::to_owned));
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

/// Adds where the go command is to see main.go and the completed go.mod and go.sum.
fn replace_files(checkout: &Checkout, main_dir: &str, replace: &mut Map<String, Value>) {
    let module = module_folder(checkout);
    let mut add = |seen: PathBuf, real: &str| {
        replace.insert(seen.display().to_string(), Value::from(real));
    };
    add(module.join(main_dir).join("main.go"), "/job/main.go");
    for name in ["go.mod", "go.sum"] {
        if checkout.replacements().join(name).exists() {
            add(module.join(name), &format!("/checkout/overlay/{name}"));
        }
    }
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
