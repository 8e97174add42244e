//! A checkout made whole: its dependencies in `deps/`, and in `overlay/` the go.mod and go.sum with which it
//! builds offline and read-only.
//!
//! What must always hold: `src/` is not written to; only what the asked packages import is downloaded; a vendor
//! folder that is consistent wins and costs no download; each failure says which package it is about.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fetch_job::FailureCode;
use serde::Deserialize;

use super::budget::OverBudget;
use super::gocmd::{GoCommand, GoError, Tools};
use super::modfiles::{ModFiles, lighten};
use super::module::{self, Layout, LayoutError};
use super::plain;
use super::scratch::Scratch;
use super::text::bounded;
use super::verdict::{Verdict, refused, verdict};

/// A source file is searched for `import "C"` this far.
const MAX_SOURCE: u64 = 4 << 20;
/// How many modules we look up ourselves where a proxy keeps the go command from doing it.
const MAX_LOOKUPS: usize = 64;

/// Why a checkout cannot be made whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompleteError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("{0} is a program (package main), which cannot be imported")]
    MainPackage(String),
    #[error("{0} needs cgo: every file that would fit imports \"C\"")]
    Cgo(String),
    #[error("{package} has no file for this platform: {text}")]
    Platform { package: String, text: String },
    #[error("it requires Go {needs} or newer, this is Go {running}: {text}")]
    NewerGo { needs: String, running: String, text: String },
    #[error("a dependency cannot be downloaded{}: {text}", if *.no_proxy { " (no module proxy configured)" } else { "" })]
    Unreachable { text: String, no_proxy: bool },
    #[error("its dependencies cannot be resolved: {0}")]
    Module(String),
    #[error("the go command's answer cannot be read: {0}")]
    FetchAnswer(#[source] serde_json::Error),
    #[error("a file cannot be written: {0}")]
    Files(#[from] io::Error),
    #[error(transparent)]
    GoCommand(#[from] GoError),
}

impl CompleteError {
    pub(super) fn code(&self) -> FailureCode {
        match self {
            Self::Layout(LayoutError::GoMod(..)) => FailureCode::Module,
            Self::Layout(_) => FailureCode::Package,
            Self::MainPackage(_) => FailureCode::MainPackage,
            Self::Cgo(_) => FailureCode::Cgo,
            Self::NewerGo { .. } => FailureCode::NewerGo,
            Self::Unreachable { .. } => FailureCode::Unreachable,
            Self::Module(_) | Self::Platform { .. } => FailureCode::Module,
            Self::GoCommand(GoError::Budget(OverBudget { .. })) => FailureCode::TooLarge,
            Self::FetchAnswer(_) | Self::Files(_) | Self::GoCommand(_) => FailureCode::Internal,
        }
    }
}

/// What is known of a checkout that is whole.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) layout: Layout,
    pub(super) package_name: String,
    pub(super) vendored: bool,
    /// Files of the package are left out because they need cgo.
    pub(super) cgo: bool,
}

/// One package as `go list` prints it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Package {
    dir: String,
    import_path: String,
    name: String,
    standard: bool,
    dep_only: bool,
    go_files: Vec<String>,
    ignored_go_files: Vec<String>,
    error: Option<PackageError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PackageError {
    pos: String,
    err: String,
}

const FIELDS: &str = "-json=Dir,ImportPath,Name,Standard,DepOnly,GoFiles,IgnoredGoFiles,Error";

/// Completes the checkout in `dest/src`, whose top folder is the import path `root`.
pub(super) fn complete(
    tools: &Tools<'_>,
    dest: &Path,
    scratch: &Scratch,
    root: &str,
    import_path: &str,
    imports: &[String],
) -> Result<Whole, CompleteError> {
    let src = dest.join("src");
    let layout = module::locate(&src, root, import_path)?;
    let mut further = BTreeSet::new();
    for path in imports {
        further.extend(module::further(&src, &layout, path)?);
    }
    let plain = |goroot| plain::package_name(&src, &layout, &further, goroot);
    if let Some(package_name) = tools.goroot().and_then(plain) {
        return Ok(Whole { layout, package_name, vendored: false, cgo: false });
    }
    let go = tools.go()?;
    let own = pattern(&layout.package_dir);
    let patterns = further.iter().map(|folder| pattern(folder)).chain([own]).collect();
    let within = [src.clone(), dest.join("deps")];
    let within = within.iter().flat_map(|p| [Some(p.clone()), p.canonicalize().ok()]);
    let within = within.flatten().collect();
    let job = Listing { go, dir: src.join(&layout.module_dir), patterns, layout: &layout, within };
    if let Some(packages) = job.vendored()? {
        let (package_name, cgo) = job.judge(&packages)?;
        return Ok(Whole { layout, package_name, vendored: true, cgo });
    }
    let files = ModFiles::prepare(&job.dir, &layout, scratch)?;
    let mut packages = job.list(&files)?;
    let missing = refused_imports(&packages);
    if !missing.is_empty() && files.require(go, scratch, &missing)? {
        packages = job.list(&files)?;
    }
    let (package_name, cgo) = job.judge(&packages)?;
    files.save(&job.dir, &dest.join("overlay"))?;
    lighten(&dest.join("deps"))?;
    Ok(Whole { layout, package_name, vendored: false, cgo })
}

fn pattern(folder: &str) -> String {
    if folder.is_empty() { ".".to_owned() } else { format!("./{folder}") }
}

/// The `go list` runs over one module.
struct Listing<'a> {
    go: &'a GoCommand<'a>,
    dir: PathBuf,
    patterns: BTreeSet<String>,
    layout: &'a Layout,
    /// The folders that the build will see, by both names that they may have.
    within: Vec<PathBuf>,
}

impl Listing<'_> {
    fn run(&self, mode: &[String]) -> Result<(bool, Vec<Package>, String), CompleteError> {
        let mut args = vec!["list".to_owned()];
        args.extend_from_slice(mode);
        args.extend(["-deps", "-e", FIELDS, "--"].map(str::to_owned));
        args.extend(self.patterns.iter().cloned());
        let output = self.go.run(&self.dir, &args)?;
        let packages = serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter::<Package>()
            .collect::<Result<Vec<_>, _>>()
            .map_err(CompleteError::FetchAnswer)?;
        Ok((output.success, packages, output.stderr))
    }

    /// The packages as the module's own vendor folder has them; `None` where it has none or not all of them.
    fn vendored(&self) -> Result<Option<Vec<Package>>, CompleteError> {
        if !self.layout.has_go_mod || !self.dir.join("vendor/modules.txt").is_file() {
            return Ok(None);
        }
        let (success, packages, _) = self.run(&["-mod=vendor".to_owned()])?;
        let outside = |p: &Package| p.error.is_some() && p.dir.is_empty();
        let whole = success && !packages.is_empty() && !packages.iter().any(outside);
        Ok(whole.then_some(packages))
    }

    fn list(&self, files: &ModFiles) -> Result<Vec<Package>, CompleteError> {
        let (success, packages, stderr) = self.run(&files.flags(&self.dir)?)?;
        if success && !packages.is_empty() {
            return Ok(packages);
        }
        Err(self.failure(&said(&stderr)))
    }

    /// A text of the go command as a failure.
    fn failure(&self, text: &str) -> CompleteError {
        let text = bounded(&self.go.scrub(text));
        match verdict(&text) {
            Verdict::NewerGo { needs, running } => CompleteError::NewerGo { needs, running, text },
            Verdict::Unreachable => {
                CompleteError::Unreachable { text, no_proxy: !self.go.has_proxy }
            }
            Verdict::NotKnown | Verdict::Other => CompleteError::Module(text),
        }
    }

    /// Whether the packages can be built; the name of the asked one.
    fn judge(&self, packages: &[Package]) -> Result<(String, bool), CompleteError> {
        let asked = packages
            .iter()
            .find(|p| !p.dep_only && p.import_path == self.layout.import_path)
            .ok_or_else(|| {
                let text = format!("the go command does not know {}", self.layout.import_path);
                CompleteError::Module(text)
            })?;
        // What is wrong with the package itself is said before what is wrong below it.
        let (ours, below): (Vec<_>, Vec<_>) = packages.iter().partition(|p| !p.dep_only);
        for package in [asked].into_iter().chain(ours).chain(below) {
            if let Some(error) = &package.error {
                return Err(self.fault(package, error));
            }
            if package.name == "main" && !package.dep_only {
                return Err(CompleteError::MainPackage(package.import_path.clone()));
            }
            let dir = Path::new(&package.dir);
            if !package.standard && !self.within.iter().any(|folder| dir.starts_with(folder)) {
                let path = &package.import_path;
                return Err(CompleteError::Module(format!(
                    "{path} is replaced by a folder outside the repository"
                )));
            }
        }
        if asked.name.is_empty() {
            let text = format!("{} has no package clause", asked.import_path);
            return Err(CompleteError::Module(text));
        }
        let cgo = asked.ignored_go_files.iter().any(|file| uses_cgo(&asked.dir, file));
        Ok((asked.name.clone(), cgo))
    }

    fn fault(&self, package: &Package, error: &PackageError) -> CompleteError {
        let name = || {
            if package.import_path == self.layout.import_path {
                format!("the package {}", package.import_path)
            } else {
                format!("the imported package {}", package.import_path)
            }
        };
        let excluded = error.err.contains("build constraints exclude all Go files");
        if excluded && package.ignored_go_files.iter().any(|f| uses_cgo(&package.dir, f)) {
            return CompleteError::Cgo(name());
        }
        let text = if error.pos.is_empty() {
            error.err.clone()
        } else {
            format!("{}: {}", error.pos, error.err)
        };
        if excluded {
            return CompleteError::Platform { package: name(), text: self.go.scrub(&error.err) };
        }
        if text.contains(&package.import_path) {
            self.failure(&text)
        } else {
            self.failure(&format!("{}: {text}", package.import_path))
        }
    }
}

fn uses_cgo(dir: &str, file: &str) -> bool {
    let Ok(file) = fs::File::open(Path::new(dir).join(file)) else { return false };
    let mut text = Vec::new();
    if io::Read::read_to_end(&mut io::Read::take(file, MAX_SOURCE), &mut text).is_err() {
        return false;
    }
    String::from_utf8_lossy(&text).lines().any(|line| {
        let line = line.trim();
        let line = line.strip_prefix("import").map_or(line, str::trim);
        line.starts_with("\"C\"") || line.starts_with("`C`")
    })
}

/// The go command's text without its progress.
fn said(stderr: &str) -> String {
    let progress =
        ["go: downloading ", "go: finding ", "go: found ", "go: added ", "go: upgraded "];
    stderr
        .lines()
        .filter(|line| !progress.iter().any(|p| line.starts_with(p)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Imports for which the go command gave up at a path that the proxy refuses to speak of.
fn refused_imports(packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .filter(|p| !p.standard && p.go_files.is_empty())
        .filter(|p| p.error.as_ref().is_some_and(|e| refused(&e.err)))
        .map(|p| p.import_path.clone())
        .take(MAX_LOOKUPS)
        .collect()
}
