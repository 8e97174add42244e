//! What somebody does without the server: clones, downloads, builds and runs, with the go and git
//! commands.
//!
//! Everything lies in a folder of its own; the build cache in it is warm for the standard library,
//! as a developer's is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{HOST, MODULE};

/// The flags of every build, the server's and by hand.
const FLAGS: [&str; 3] = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w"];

/// The build cache, below the folder.
const CACHE: &str = "build";
/// The build cache as it was before anything but the standard library was compiled.
const LIBRARY: &str = "library";

/// The folder and the commands.
pub(crate) struct Hand {
    folder: PathBuf,
    go: PathBuf,
    host: String,
}

impl Hand {
    /// Fills a build cache in `folder`. Modules of `bench.test` come from the git host at `host`.
    pub(crate) fn prepare(folder: &Path, go: PathBuf, host: String) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        let hand = Self { folder: folder.to_owned(), go, host };
        let standard = ["fmt", "os", "strings", "strconv", "time", "context", "errors"];
        let args: Vec<&str> = std::iter::once("build").chain(FLAGS).chain(standard).collect();
        hand.go(folder, &args)?;
        let copied = link_all(&folder.join(CACHE), &folder.join(LIBRARY));
        copied.map_err(|e| format!("the build cache cannot be copied: {e}"))?;
        Ok(hand)
    }

    /// A project that requires the bench's module, all of which has been downloaded.
    pub(crate) fn project(&self, name: &str) -> Result<PathBuf, String> {
        let project = self.folder.join(name);
        fs::create_dir_all(&project).map_err(|e| e.to_string())?;
        fs::write(project.join("go.mod"), "module hand\n\ngo 1.21\n").map_err(|e| e.to_string())?;
        self.go(&project, &["get", &format!("{MODULE}@v1.0.0")])?;
        Ok(project)
    }

    /// Writes main.go around a call, builds it, and answers where the program lies.
    pub(crate) fn build(&self, project: &Path, call: &str) -> Result<PathBuf, String> {
        fs::write(project.join("main.go"), main_go(MODULE, call)).map_err(|e| e.to_string())?;
        self.compile(project, ".")
    }

    fn compile(&self, project: &Path, package: &str) -> Result<PathBuf, String> {
        let mut args = vec!["build"];
        args.extend(FLAGS);
        args.extend(["-o", "program", package]);
        self.go(project, &args)?;
        Ok(project.join("program"))
    }

    /// A first call of a function of a known module: build and run.
    pub(crate) fn first_call(&self, project: &Path, call: &str) -> Result<Duration, String> {
        let began = Instant::now();
        let program = self.build(project, call)?;
        run(&program)?;
        Ok(began.elapsed())
    }

    /// A first call of an unknown module: clone, download, build and run. Nothing of it is kept but
    /// what the build cache has of the standard library.
    pub(crate) fn unknown(&self, module: &str, call: &str) -> Result<Duration, String> {
        let clone = self.folder.join("clone");
        let alone = self.with_standard_library_alone()?;
        let began = Instant::now();
        let address = module.replacen(HOST, &self.host, 1);
        self.run(
            Command::new("git").args(["clone", "--quiet", "--depth", "1", &address]).arg(&clone),
        )?;
        self.go(&clone, &["mod", "download"])?;
        let main = clone.join("hand");
        fs::create_dir(&main).map_err(|e| e.to_string())?;
        fs::write(main.join("main.go"), main_go(module, call)).map_err(|e| e.to_string())?;
        let program = alone.compile(&clone, "./hand")?;
        run(&program)?;
        let spent = began.elapsed();
        for folder in [&clone, &alone.folder] {
            fs::remove_dir_all(folder).map_err(|e| e.to_string())?;
        }
        Ok(spent)
    }

    /// The same with an empty module cache, and a build cache that knows the standard library and
    /// nothing else.
    fn with_standard_library_alone(&self) -> Result<Self, String> {
        let folder = self.folder.join("alone");
        let copy = || link_all(&self.folder.join(LIBRARY), &folder.join(CACHE));
        copy().map_err(|e| format!("the build cache cannot be copied: {e}"))?;
        Ok(Self { folder, go: self.go.clone(), host: self.host.clone() })
    }

    /// Completes go.mod and go.sum of the module in a folder, which takes the network where it
    /// depends on others.
    pub(crate) fn tidy(&self, folder: &Path) -> Result<(), String> {
        self.go(folder, &["mod", "tidy"]).map(drop)
    }

    /// What `go version` says.
    pub(crate) fn version(&self) -> Result<String, String> {
        Ok(self.go(&self.folder, &["version"])?.trim().to_owned())
    }

    fn go(&self, folder: &Path, args: &[&str]) -> Result<String, String> {
        self.run(Command::new(&self.go).current_dir(folder).args(args))
    }

    fn run(&self, command: &mut Command) -> Result<String, String> {
        let at = |name: &str| self.folder.join(name);
        command
            .env("HOME", &self.folder)
            .envs([("GOCACHE", at(CACHE)), ("GOMODCACHE", at("mod")), ("GOPATH", at("path"))])
            .envs([("GOENV", "off"), ("GOFLAGS", "-modcacherw"), ("GOWORK", "off")])
            .envs([("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")])
            // The bench's modules come from its own git host, which has no name that others could
            // resolve.
            .envs([("GONOPROXY", HOST), ("GONOSUMDB", HOST), ("GIT_TERMINAL_PROMPT", "0")])
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_COUNT", "1")])
            .env("GIT_CONFIG_KEY_0", format!("url.{}/.insteadOf", self.host))
            .env("GIT_CONFIG_VALUE_0", format!("https://{HOST}/"))
            .stdin(Stdio::null());
        let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{:?} {:?}: {said}", command.get_program(), command.get_args()))
    }
}

/// Copies a tree of folders, with its files as other names of the same ones.
fn link_all(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => link_all(&entry.path(), &target)?,
            false => fs::hard_link(entry.path(), target)?,
        }
    }
    Ok(())
}

/// The program that anybody would write around a call.
fn main_go(module: &str, call: &str) -> String {
    format!(
        "package main\n\nimport (\n\t\"fmt\"\n\n\t. \"{module}\"\n)\n\nfunc main() {{\n\tfmt.Print({call})\n}}\n"
    )
}

/// Starts a program by posix_spawn(3), which the standard library uses for commands like this one,
/// reads all that it prints, and waits for it. It is isolated from nothing.
pub(crate) fn run(program: &Path) -> Result<Vec<u8>, String> {
    finish(Command::new(program).env_clear())
}

/// The same with any command.
pub(crate) fn finish(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.map_err(|e| format!("{:?} does not start: {e}", command.get_program()))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!("{:?} ended with {}", command.get_program(), output.status)),
    }
}
