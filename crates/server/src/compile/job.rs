//! The job of a build island, and the folder `/job` with its files.

use std::fs::File;
use std::io::Read;
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
/// What a Go file that embeds others has in it.
const EMBED: &[u8] = b"//go:embed";
/// Bytes of a source that are looked at together.
const PIECE: usize = 64 << 10;

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
                std::fs::write(job.join("main.go"), main_go)?;
                let main = main_place(checkout)?;
                replace.extend(replaced_files(checkout, &main));
                let modules = if checkout.is_vendored() { "-mod=vendor" } else { "-mod=readonly" };
                args.extend(matches!(mode, CompileMode::Printed).then(|| "-x".to_owned()));
                args.extend([modules, "-o", MADE].map(str::to_owned));
                args.extend(modfile(checkout, &main, job)?);
                args.push(match &main {
                    MainPlace::InModule(folder) => format!("./{folder}"),
                    MainPlace::Outside => "/job/main.go".to_owned(),
                });
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

/// Where the go command sees main.go.
#[derive(Debug, PartialEq, Eq)]
enum MainPlace {
    /// In a folder that the module does not have, so that main.go is alone in it.
    InModule(String),
    /// Outside the module, whose root package embeds files, and would embed ours too.
    Outside,
}

fn main_place(checkout: &Checkout) -> std::io::Result<MainPlace> {
    let module = checkout.source().join(checkout.module_dir());
    // Only a program inside the module may import its internal packages.
    let path = checkout.import_path().as_str();
    let is_internal = path.split('/').any(|element| element == "internal");
    if !is_internal && embeds(&module)? {
        return Ok(MainPlace::Outside);
    }
    // Where a pattern names the folder above, it leaves out a folder of such a name.
    let mut name = if is_internal { format!("_{MAIN_DIR}") } else { MAIN_DIR.to_owned() };
    while module.join(&name).symlink_metadata().is_ok() {
        name.push('_');
    }
    Ok(MainPlace::InModule(name))
}

/// Whether a Go file in a folder has an embed directive.
fn embeds(folder: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_go = Path::new(&entry.file_name()).extension().is_some_and(|it| it == "go");
        if is_go && entry.file_type()?.is_file() && has(File::open(entry.path())?, EMBED)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a text has a word in it. Reads the text in pieces, for a stranger wrote it and may have
/// made it long.
fn has(mut text: impl Read, word: &[u8]) -> std::io::Result<bool> {
    let mut piece = Vec::with_capacity(PIECE + word.len());
    loop {
        // The end of the last piece may be the beginning of the word.
        piece.drain(..piece.len().saturating_sub(word.len() - 1));
        let read = text.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.windows(word.len()).any(|window| window == word) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
    }
}

/// Whether the completed go.mod and go.sum are laid over the module's own. A module that embeds
/// files sees its own ones, where it has a go.mod.
fn lays_over(checkout: &Checkout, main: &MainPlace) -> bool {
    let own = checkout.source().join(checkout.module_dir()).join("go.mod");
    *main != MainPlace::Outside || checkout.is_vendored() || !own.exists()
}

/// The completed go.mod and go.sum in the job's folder, for a module whose own are not hidden. The
/// go command finds go.sum beside go.mod.
fn modfile(checkout: &Checkout, main: &MainPlace, job: &Path) -> std::io::Result<Option<String>> {
    if lays_over(checkout, main) {
        return Ok(None);
    }
    let own = checkout.source().join(checkout.module_dir());
    for name in ["go.mod", "go.sum"] {
        let completed = checkout.replacements().join(name);
        let from = if completed.exists() { completed } else { own.join(name) };
        if from.symlink_metadata().is_ok_and(|found| found.is_file()) {
            std::fs::write(job.join(name), std::fs::read(from)?)?;
        }
    }
    Ok(Some("-modfile=/job/go.mod".to_owned()))
}

/// Where the go command sees main.go and the completed go.mod and go.sum.
fn replaced_files(checkout: &Checkout, main: &MainPlace) -> Vec<Replacement> {
    let module = module_folder(checkout);
    let completed = ["go.mod", "go.sum"].into_iter().filter(|_| lays_over(checkout, main));
    let completed = completed.filter(|name| checkout.replacements().join(name).exists());
    let completed = completed
        .map(|name| receiver::replace(&module.join(name), format!("/checkout/overlay/{name}")));
    let main = match main {
        MainPlace::InModule(folder) => Some(module.join(folder).join("main.go")),
        MainPlace::Outside => None,
    };
    let main = main.map(|seen| receiver::replace(&seen, "/job/main.go".to_owned()));
    main.into_iter().chain(completed).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_wherever_it_lies_in_a_text() {
        for before in [0, 1, PIECE - EMBED.len(), PIECE - 5, PIECE, 3 * PIECE - 1] {
            let text = [&vec![b'/'; before][..], EMBED, b" all:*\n"].concat();
            assert!(has(&text[..], EMBED).unwrap(), "{before}");
            let cut = &text[..before + EMBED.len() - 1];
            assert!(!has(cut, EMBED).unwrap(), "{before}");
        }
        assert!(!has(&b""[..], EMBED).unwrap());
    }
}
