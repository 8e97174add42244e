//! Packages that need nobody else: what can be said of a checkout without the go command, which takes most of a fetch.
//!
//! A package whose files, whichever of them fit this platform, import the standard library and packages like itself of
//! their own module has no dependencies to complete. What must always hold: this says so only where the go command would;
//! whatever is less than evident (cgo, constraints on everything, a go.mod with more than requirements, an odd file) is
//! left to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::module::{Layout, join};
use super::vanity::below;

/// More packages or files than this are not looked at.
const MAX_PACKAGES: usize = 200;
const MAX_FILES: usize = 2_000;
/// A longer source file is not looked at, in bytes.
const MAX_SOURCE: u64 = 4 << 20;
/// The language from which on the go command does not look at modules that nothing is imported from.
const PRUNED: u32 = 17;
/// Files of these kinds are for cgo. Go's own assembler and its headers are not among them.
const FOREIGN: [&str; 14] =
    ["c", "cc", "cpp", "cxx", "m", "f", "F", "for", "f90", "S", "sx", "swig", "swigcxx", "syso"];

/// The name of the package in `layout`, when it and the packages in `further` folders of the module need nobody else.
/// `goroot` is where the toolchain lies.
pub(super) fn package_name(
    src: &Path,
    layout: &Layout,
    further: &BTreeSet<String>,
    goroot: &Path,
) -> Option<String> {
    let module = src.join(&layout.module_dir);
    if !layout.has_go_mod || module.join("vendor").exists() {
        return None;
    }
    let version = fs::read_to_string(goroot.join("VERSION")).ok()?;
    if !is_complete(&fs::read_to_string(module.join("go.mod")).ok()?, minor(&version)?) {
        return None;
    }
    let mut look = PlainCheck { module: &module, layout, goroot, files: 0 };
    let mut waiting: Vec<String> = further.iter().cloned().collect();
    waiting.push(layout.package_dir.clone());
    let mut seen: BTreeSet<String> = waiting.iter().cloned().collect();
    let mut name = None;
    while let Some(folder) = waiting.pop() {
        let (package, imports) = look.package(&folder)?;
        if folder == layout.package_dir {
            name = Some(package);
        }
        for import in imports {
            let Some(inner) = look.place(&import)? else { continue };
            if seen.insert(inner.clone()) {
                waiting.push(inner);
            }
        }
        if seen.len() > MAX_PACKAGES {
            return None;
        }
    }
    name
}

struct PlainCheck<'a> {
    module: &'a Path,
    layout: &'a Layout,
    goroot: &'a Path,
    files: usize,
}

impl PlainCheck<'_> {
    /// The name of the package in a folder of the module, and all that its files import.
    fn package(&mut self, folder: &str) -> Option<(String, BTreeSet<String>)> {
        if !self.is_of_the_module(folder) {
            return None;
        }
        let (mut package, mut certain) = (None, false);
        let mut imports = BTreeSet::new();
        for entry in fs::read_dir(self.module.join(folder)).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name().to_str()?.to_owned();
            let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
            if FOREIGN.contains(&extension) || entry.file_type().ok()?.is_symlink() {
                return None;
            }
            let ignored = name.starts_with(['_', '.']) || stem.ends_with("_test");
            if extension != "go" || ignored || !entry.file_type().ok()?.is_file() {
                continue;
            }
            self.files += 1;
            if self.files > MAX_FILES || entry.metadata().ok()?.len() > MAX_SOURCE {
                return None;
            }
            let text = fs::read_to_string(entry.path()).ok()?;
            let head = SourceHead::read(&text)?;
            if package.get_or_insert_with(|| head.package.to_owned()) != head.package {
                return None;
            }
            // The name of a system or an architecture in a file's name is a constraint as well.
            certain |= !head.constrained && !stem.contains('_');
            imports.extend(head.imports.into_iter().map(str::to_owned));
        }
        let odd = ["main", "documentation", "_"];
        package.filter(|name| certain && !odd.contains(&name.as_str())).map(|name| (name, imports))
    }

    /// The folder of an import; `Some(None)` for one of the standard library.
    fn place(&self, import: &str) -> Option<Option<String>> {
        let plain = |e: &str| !e.is_empty() && !e.starts_with('.') && is_path(e);
        if !import.split('/').all(plain) {
            return None;
        }
        if let Some(rest) = below(import, &self.layout.module_path) {
            return Some(Some(rest.to_owned()));
        }
        let mut elements = import.split('/');
        let first = elements.next().unwrap_or_default();
        let closed = import.split('/').any(|element| element == "internal" || element == "vendor");
        let known = !first.contains('.') && first != "cmd" && !closed;
        let sources =
            fs::read_dir(self.goroot.join("src").join(import)).into_iter().flatten().flatten();
        let is_go = |name: &str| name.ends_with(".go") && !name.ends_with("_test.go");
        let mut names = sources.map(|entry| entry.file_name());
        (known && names.any(|name| name.to_str().is_some_and(is_go))).then_some(None)
    }

    /// Whether no other module begins on the way from the module's folder to this one.
    fn is_of_the_module(&self, folder: &str) -> bool {
        let mut at = String::new();
        folder.split('/').filter(|element| !element.is_empty()).all(|element| {
            at = join(&at, element);
            let path = self.module.join(&at);
            !path.join("go.mod").exists() && path.symlink_metadata().is_ok_and(|m| m.is_dir())
        })
    }
}

/// Whether a go.mod is one that the go command of Go 1.`minor` would leave as it is while nothing of another module is
/// imported: a module, a language that is known, and requirements as they have to be.
fn is_complete(go_mod: &str, ours: u32) -> bool {
    let (mut language, mut module, mut required, mut block) = (None, false, false, false);
    for line in go_mod.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [")"] if block => block = false,
            ["require", "("] if !block => block = true,
            ["module", path] if !block && !module && is_path(path) => module = true,
            ["go", version] if !block && language.is_none() => match known(version, ours) {
                Some(minor) => language = Some(minor),
                None => return false,
            },
            [path, version] if block && is_requirement(path, version) => required = true,
            ["require", path, version] if !block && is_requirement(path, version) => {
                required = true;
            }
            _ => return false,
        }
    }
    let pruned = language.is_some_and(|minor| minor >= PRUNED);
    module && !block && language.is_some() && (pruned || !required)
}

/// Whether a version is one that the go command would not write otherwise, and of that path.
fn is_requirement(path: &str, version: &str) -> bool {
    let Some(numbers) = version.strip_prefix('v').filter(|_| is_path(path) && is_path(version))
    else {
        return false;
    };
    let numbers = numbers.split('-').next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = numbers.split('.').map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [Some(0 | 1), Some(_), Some(_)] => true,
        [Some(major), Some(_), Some(_)] => path.ends_with(&format!("/v{major}")),
        _ => false,
    }
}

fn is_path(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b))
}

/// The N of a language 1.N, where Go 1.`ours` surely knows it.
fn known(version: &str, ours: u32) -> Option<u32> {
    let mut numbers = version.split('.');
    let (Some("1"), Some(minor)) = (numbers.next(), numbers.next()) else { return None };
    let minor: u32 = minor.parse().ok()?;
    match (numbers.next().map(str::parse::<u32>), numbers.next()) {
        (None, None) if minor <= ours => Some(minor),
        (Some(Ok(_)), None) if minor < ours => Some(minor),
        _ => None,
    }
}

/// The N of `go1.N.M`, as a toolchain's VERSION begins.
fn minor(version: &str) -> Option<u32> {
    let number = version.strip_prefix("go1.")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// How a source file begins.
#[derive(Debug, PartialEq, Eq)]
struct SourceHead<'a> {
    /// The name in the package clause.
    package: &'a str,
    imports: Vec<&'a str>,
    /// Whether it may not fit this platform.
    constrained: bool,
}

impl<'a> SourceHead<'a> {
    /// Reads package clause and imports; `None` for whatever is odd, and for cgo and embedded files.
    fn read(text: &'a str) -> Option<Self> {
        if text.contains("//go:embed") {
            return None;
        }
        let mut tokens = Tokens { rest: text, constrained: false };
        if tokens.token()? != "package" {
            return None;
        }
        let package = tokens.token().filter(|name| is_identifier(name))?;
        let constrained = tokens.constrained;
        let mut imports = Vec::new();
        loop {
            match tokens.token() {
                Some("import") => {}
                Some(";") => continue,
                // Nothing is imported after the first declaration of another kind.
                Some(_) => break,
                None if tokens.rest.is_empty() => break,
                None => return None,
            }
            match tokens.token()? {
                "(" => loop {
                    match tokens.token()? {
                        ")" => break,
                        ";" => {}
                        token => imports.push(tokens.import(token)?),
                    }
                },
                token => imports.push(tokens.import(token)?),
            }
        }
        let odd = |path: &&str| *path == "C" || path.contains('\\');
        (!imports.iter().any(odd)).then_some(Self { package, imports, constrained })
    }
}

/// The tokens at the beginning of a source file: words, texts with their quotes, and single signs.
struct Tokens<'a> {
    rest: &'a str,
    /// Whether a comment so far was a build constraint.
    constrained: bool,
}

impl<'a> Tokens<'a> {
    /// The next one; `None` at the end, or with a rest where there is something else.
    fn token(&mut self) -> Option<&'a str> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if let Some(comment) = self.rest.strip_prefix("//") {
                let (line, rest) = comment.split_once('\n').unwrap_or((comment, ""));
                self.constrained |= line.starts_with("go:build") || line.contains("+build");
                self.rest = rest;
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = comment.split_once("*/")?.1;
            } else {
                break;
            }
        }
        let first = self.rest.chars().next()?;
        let length = match first {
            '"' | '`' => self.rest[1..].find([first, '\n'])? + 2,
            'a'..='z' | 'A'..='Z' | '_' => {
                let other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
                self.rest.find(other).unwrap_or(self.rest.len())
            }
            _ if first.is_ascii() => 1,
            _ => return None,
        };
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(token)
    }

    /// The path of an import that begins with this token.
    fn import(&mut self, token: &'a str) -> Option<&'a str> {
        let path = if token == "." || is_identifier(token) { self.token()? } else { token };
        let quoted = |quote| path.strip_prefix(quote)?.strip_suffix(quote);
        quoted('"').or_else(|| quoted('`')).filter(|path| !path.is_empty())
    }
}

fn is_identifier(token: &str) -> bool {
    !token.starts_with(|c: char| c.is_ascii_digit())
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !token.is_empty()
}

#[cfg(test)]
mod tests;
