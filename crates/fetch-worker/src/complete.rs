//! Completes a checkout: the dependencies in `deps/`, and in `overlay/` the go.mod and go.sum with
//! which the package builds offline and read-only.
//!
//! Invariants: `src/` is not written to; only the imports of the requested packages are downloaded;
//! a vendor folder that is consistent wins and costs no download; each failure names its package.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::complete_error::CompleteError;
use super::gocmd::{GoCommand, JobTools};
use super::modfiles::{ModFiles, lighten};
use super::module::{self, PackageLayout};
use super::plain;
use super::scratch::Scratch;
use super::text::bounded;
use super::verdict::{Verdict, refused, verdict};

/// How many bytes of a source file are searched for `import "C"`.
const MAX_SOURCE: u64 = 4 << 20;
/// How many modules are looked up one by one where a proxy's refusal stops the go command.
const MAX_LOOKUPS: usize = 64;

/// The facts about a completed checkout.
#[derive(Debug)]
pub(super) struct CompletedCheckout {
    pub(super) layout: PackageLayout,
    pub(super) package_name: String,
    pub(super) vendored: bool,
    /// Files of the package are left out because they need cgo.
    pub(super) cgo: bool,
}

/// One package as `go list` prints it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct ListedPackage {
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
    tools: &JobTools<'_>,
    dest: &Path,
    scratch: &Scratch,
    root: &str,
    import_path: &str,
    imports: &[String],
) -> Result<CompletedCheckout, CompleteError> {
    let src = dest.join("src");
    let layout = module::locate(&src, root, import_path)?;
    let mut further = BTreeSet::new();
    for path in imports {
        further.extend(module::further(&src, &layout, path)?);
    }
    let plain = |goroot| plain::package_name(&src, &layout, &further, goroot);
    if let Some(package_name) = tools.goroot().and_then(plain) {
        return Ok(CompletedCheckout { layout, package_name, vendored: false, cgo: false });
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
        return Ok(CompletedCheckout { layout, package_name, vendored: true, cgo });
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
    Ok(CompletedCheckout { layout, package_name, vendored: false, cgo })
}

fn pattern(folder: &str) -> String {
    if folder.is_empty() { ".".to_owned() } else { format!("./{folder}") }
}

/// The `go list` runs over one module.
struct Listing<'a> {
    go: &'a GoCommand<'a>,
    dir: PathBuf,
    patterns: BTreeSet<String>,
    layout: &'a PackageLayout,
    /// The folders that the build will see, with and without symbolic links in their paths.
    within: Vec<PathBuf>,
}

impl Listing<'_> {
    fn run(&self, mode: &[String]) -> Result<(bool, Vec<ListedPackage>, String), CompleteError> {
        let mut args = vec!["list".to_owned()];
        args.extend_from_slice(mode);
        args.extend(["-deps", "-e", FIELDS, "--"].map(str::to_owned));
        args.extend(self.patterns.iter().cloned());
        let output = self.go.run(&self.dir, &args)?;
        let packages = serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter::<ListedPackage>()
            .collect::<Result<Vec<_>, _>>()
            .map_err(CompleteError::UnreadableOutput)?;
        Ok((output.success, packages, output.stderr))
    }

    /// The packages from the module's own vendor folder; `None` unless the folder has all of them.
    fn vendored(&self) -> Result<Option<Vec<ListedPackage>>, CompleteError> {
        if !self.layout.has_go_mod || !self.dir.join("vendor/modules.txt").is_file() {
            return Ok(None);
        }
        let (success, packages, _) = self.run(&["-mod=vendor".to_owned()])?;
        let outside = |p: &ListedPackage| p.error.is_some() && p.dir.is_empty();
        let whole = success && !packages.is_empty() && !packages.iter().any(outside);
        Ok(whole.then_some(packages))
    }

    fn list(&self, files: &ModFiles) -> Result<Vec<ListedPackage>, CompleteError> {
        let (success, packages, stderr) = self.run(&files.flags(&self.dir)?)?;
        if success && !packages.is_empty() {
            return Ok(packages);
        }
        Err(self.failure(&without_progress(&stderr)))
    }

    /// The failure for a message of the go command.
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

    /// Checks that the packages can be built: the name of the requested package, and whether it
    /// needs cgo.
    fn judge(&self, packages: &[ListedPackage]) -> Result<(String, bool), CompleteError> {
        let asked = packages
            .iter()
            .find(|p| !p.dep_only && p.import_path == self.layout.import_path)
            .ok_or_else(|| {
                let text = format!("the go command lists no package {}", self.layout.import_path);
                CompleteError::Module(text)
            })?;
        // A fault of the requested package is reported before a fault of a dependency.
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
                    "go.mod replaces {path} by a folder outside the repository; use a module or a folder inside"
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

    fn fault(&self, package: &ListedPackage, error: &PackageError) -> CompleteError {
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

/// The messages of the go command without its progress.
fn without_progress(stderr: &str) -> String {
    let progress =
        ["go: downloading ", "go: finding ", "go: found ", "go: added ", "go: upgraded "];
    stderr
        .lines()
        .filter(|line| !progress.iter().any(|p| line.starts_with(p)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Imports at which the go command gave up because the proxy refused a path.
fn refused_imports(packages: &[ListedPackage]) -> Vec<String> {
    packages
        .iter()
        .filter(|p| !p.standard && p.go_files.is_empty())
        .filter(|p| p.error.as_ref().is_some_and(|e| refused(&e.err)))
        .map(|p| p.import_path.clone())
        .take(MAX_LOOKUPS)
        .collect()
}
