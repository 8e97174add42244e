//! Finds the module of a package in a checkout, and checks the package's folder. Reads below `src/`
//! only, where no link leads out. The module path of a go.mod is used only if it is a valid import
//! path.

use std::fs;
use std::path::Path;

use super::refs::major;
use super::vanity::below;

/// The largest go.mod, in bytes.
const MAX_GO_MOD: u64 = 16 << 20;

/// Why a package cannot be found in a checkout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PackageLayoutError {
    #[error("there is no folder {0}")]
    NoFolder(String),
    #[error("the folder {0} has no Go files")]
    NoGoFiles(String),
    #[error("the folder {0} has only test files")]
    OnlyTests(String),
    #[error("{0} is neither in the standard library nor in the module {1}")]
    OtherModule(String, String),
    #[error("{0} cannot be read: {1}")]
    GoMod(String, &'static str),
}

/// Where a package is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PackageLayout {
    /// The folder of go.mod below `src/`, empty for `src/` itself.
    pub(super) module_dir: String,
    /// The package's folder below that.
    pub(super) package_dir: String,
    pub(super) module_path: String,
    pub(super) import_path: String,
    /// The requested module path; the go.mod of a fork may have another one.
    pub(super) asked_module: String,
    pub(super) has_go_mod: bool,
}

/// Finds the package `import_path` in a checkout whose top folder is the import path `root`.
pub(super) fn locate(
    src: &Path,
    root: &str,
    import_path: &str,
) -> Result<PackageLayout, PackageLayoutError> {
    let rest = below(import_path, root).unwrap_or_default();
    let mut first = None;
    for (folder, element) in folders(rest) {
        let found = layout_of(src, root, &folder);
        let fits = |layout: &PackageLayout| {
            element.is_none_or(|e| layout.module_path.ends_with(&format!("/{e}")))
        };
        match found {
            Ok(mut layout) if fits(&layout) => {
                let tail = layout.package_dir.as_str();
                let asked = import_path.strip_suffix(tail).unwrap_or(import_path);
                asked.trim_end_matches('/').clone_into(&mut layout.asked_module);
                return Ok(layout);
            }
            Err(error) if first.is_none() => first = Some(error),
            _ => {}
        }
    }
    Err(first.unwrap_or_else(|| PackageLayoutError::NoFolder(shown(rest).to_owned())))
}

/// The folders that the rest of an import path can mean: itself, or without a major version's
/// element, which is then only part of the module's name.
fn folders(rest: &str) -> Vec<(String, Option<&str>)> {
    let mut out = vec![(rest.to_owned(), None)];
    let elements: Vec<&str> = rest.split('/').collect();
    for (at, element) in elements.iter().enumerate() {
        if !element.contains('.') && major(element).is_some() {
            let mut without = elements.clone();
            without.remove(at);
            out.push((without.join("/"), Some(*element)));
        }
    }
    out
}

fn layout_of(src: &Path, root: &str, folder: &str) -> Result<PackageLayout, PackageLayoutError> {
    go_files(src, folder)?;
    let mut dir = folder;
    let go_mod = loop {
        let path = src.join(dir).join("go.mod");
        if path.is_file() {
            break Some(path);
        }
        if dir.is_empty() {
            break None;
        }
        dir = dir.rsplit_once('/').map_or("", |(parent, _)| parent);
    };
    let package_dir = below(folder, dir).unwrap_or_default().to_owned();
    let module_path = match &go_mod {
        None => root.to_owned(),
        Some(path) => {
            let name = join(dir, "go.mod");
            let bad = |why| PackageLayoutError::GoMod(name.clone(), why);
            let large = fs::metadata(path).map_or(true, |meta| meta.len() > MAX_GO_MOD);
            if large {
                return Err(bad("the file has more than 16 MiB"));
            }
            let text = fs::read(path).map_err(|_| bad("the file cannot be opened"))?;
            let text = String::from_utf8(text).map_err(|_| bad("the file is not UTF-8"))?;
            path_of(&text).ok_or_else(|| bad("the file has no valid module line"))?
        }
    };
    Ok(PackageLayout {
        import_path: join(&module_path, &package_dir),
        asked_module: String::new(),
        module_dir: dir.to_owned(),
        package_dir,
        module_path,
        has_go_mod: go_mod.is_some(),
    })
}

/// The folder, below the module's, of a further package that a call imports; `None` for the
/// standard library.
pub(super) fn further(
    src: &Path,
    layout: &PackageLayout,
    import_path: &str,
) -> Result<Option<String>, PackageLayoutError> {
    let rest = below(import_path, &layout.module_path)
        .or_else(|| below(import_path, &layout.asked_module));
    match rest {
        Some(rest) if rest.split('/').all(|e| !matches!(e, "." | "..")) => {
            go_files(src, &join(&layout.module_dir, rest))?;
            Ok(Some(rest.to_owned()))
        }
        None if !import_path.split('/').next().unwrap_or_default().contains('.') => Ok(None),
        _ => {
            Err(PackageLayoutError::OtherModule(import_path.to_owned(), layout.module_path.clone()))
        }
    }
}

/// Two paths, either of which may be empty.
pub(super) fn join(parent: &str, child: &str) -> String {
    match (parent, child) {
        ("", other) | (other, "") => other.to_owned(),
        _ => format!("{parent}/{child}"),
    }
}

fn shown(folder: &str) -> &str {
    if folder.is_empty() { "at the top of the repository" } else { folder }
}

fn go_files(src: &Path, folder: &str) -> Result<(), PackageLayoutError> {
    let shown = || shown(folder).to_owned();
    let entries =
        fs::read_dir(src.join(folder)).map_err(|_| PackageLayoutError::NoFolder(shown()))?;
    let mut tests = false;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|n| n.ends_with(".go")) else { continue };
        if name.starts_with(['_', '.']) || !src.join(folder).join(name).is_file() {
            continue;
        }
        if !name.ends_with("_test.go") {
            return Ok(());
        }
        tests = true;
    }
    Err(if tests {
        PackageLayoutError::OnlyTests(shown())
    } else {
        PackageLayoutError::NoGoFiles(shown())
    })
}

/// The path in a go.mod's module directive.
pub(super) fn path_of(go_mod: &str) -> Option<String> {
    let path = directive(go_mod, "module")?;
    let valid = !path.is_empty()
        && path.len() < 1024
        && path.split('/').all(|e| {
            !e.is_empty()
                && e != "."
                && e != ".."
                && e.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+".contains(&b))
        });
    valid.then_some(path)
}

/// Whether a go.mod says for which Go it was written.
pub(super) fn has_go_line(go_mod: &str) -> bool {
    directive(go_mod, "go").is_some()
}

/// The first value of a directive: `module x`, `module "x"`, or on a line of its own in
/// parentheses.
fn directive(go_mod: &str, name: &str) -> Option<String> {
    let mut block: Option<bool> = None;
    for line in go_mod.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let value = match block {
            Some(_) if line == ")" => {
                block = None;
                continue;
            }
            Some(true) if !line.is_empty() => line,
            Some(_) => continue,
            None => {
                let word_end = line.find([' ', '\t', '(', '"', '`']).unwrap_or(line.len());
                let (word, tail) = line.split_at(word_end);
                let tail = tail.trim();
                if tail == "(" {
                    block = Some(word == name);
                    continue;
                }
                if word != name {
                    continue;
                }
                tail
            }
        };
        let value = value.trim_matches(['"', '`']);
        return Some(value.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn the_module_directive_is_found_in_every_form() {
        for (text, want) in [
            ("module a.b/c\n", Some("a.b/c")),
            ("// a\n\nmodule  \"a.b/c/v2\" // x\ngo 1.20\n", Some("a.b/c/v2")),
            ("module (\n\ta.b/c\n)\n", Some("a.b/c")),
            ("require (\n\tmodule v1.0.0\n)\nmodule a.b/c", Some("a.b/c")),
            ("go 1.20\r\nmodule a.b/c\r\n", Some("a.b/c")),
            ("module `a.b/c`", Some("a.b/c")),
            ("module ../x", None),
            ("module /x", None),
            ("module a b", None),
            ("modulex a", None),
            ("", None),
        ] {
            assert_eq!(path_of(text).as_deref(), want, "{text:?}");
        }
        assert!(has_go_line("module a\n\ngo 1.16\n"));
        assert!(!has_go_line("module a\n// go 1.16\nrequire go.uber.org/x v1.0.0\n"));
    }

    fn tree(files: &[(&str, &str)]) -> Scratch {
        let scratch = Scratch::new().unwrap();
        for (name, text) in files {
            let path = scratch.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        scratch
    }

    #[test]
    fn a_package_belongs_to_the_nearest_module_above_it() {
        let src = tree(&[
            ("go.mod", "module ex.com/orig/v3\n"),
            ("a.go", ""),
            ("sub/a.go", ""),
            ("nested/go.mod", "module ex.com/orig/nested/v2\n"),
            ("nested/deep/a.go", ""),
            ("nested/a.go", ""),
            ("tests/a_test.go", ""),
            ("empty/readme", ""),
        ]);
        let got = |path: &str| {
            locate(src.path(), "ex.com/fork", path)
                .map(|l| (l.module_dir, l.import_path, l.asked_module))
        };
        let ok = |dir: &str, path: &str, asked: &str| Ok((dir.into(), path.into(), asked.into()));
        let text = String::from;
        for (path, want) in [
            ("ex.com/fork", ok("", "ex.com/orig/v3", "ex.com/fork")),
            ("ex.com/fork/v3", ok("", "ex.com/orig/v3", "ex.com/fork/v3")),
            ("ex.com/fork/v3/sub", ok("", "ex.com/orig/v3/sub", "ex.com/fork/v3")),
            ("ex.com/fork/sub", ok("", "ex.com/orig/v3/sub", "ex.com/fork")),
            (
                "ex.com/fork/nested/v2",
                ok("nested", "ex.com/orig/nested/v2", "ex.com/fork/nested/v2"),
            ),
            (
                "ex.com/fork/nested/v2/deep",
                ok("nested", "ex.com/orig/nested/v2/deep", "ex.com/fork/nested/v2"),
            ),
            ("ex.com/fork/v2", Err(PackageLayoutError::NoFolder(text("v2")))),
            ("ex.com/fork/none", Err(PackageLayoutError::NoFolder(text("none")))),
            ("ex.com/fork/empty", Err(PackageLayoutError::NoGoFiles(text("empty")))),
            ("ex.com/fork/tests", Err(PackageLayoutError::OnlyTests(text("tests")))),
        ] {
            assert_eq!(got(path), want, "{path}");
        }
    }

    #[test]
    fn a_further_import_is_of_the_same_module_or_the_standard_library() {
        let src = tree(&[("go.mod", "module ex.com/orig\n"), ("a.go", ""), ("sub/a.go", "")]);
        let layout = locate(src.path(), "ex.com/fork", "ex.com/fork").unwrap();
        let got = |path: &str| further(src.path(), &layout, path);
        assert_eq!(got("ex.com/orig/sub"), Ok(Some("sub".into())));
        assert_eq!(got("ex.com/fork/sub"), Ok(Some("sub".into())));
        assert_eq!(got("net/http"), Ok(None));
        assert!(matches!(got("ex.com/other"), Err(PackageLayoutError::OtherModule(..))));
        assert!(matches!(got("ex.com/fork/../x"), Err(PackageLayoutError::OtherModule(..))));
        assert!(matches!(got("ex.com/fork/none"), Err(PackageLayoutError::NoFolder(_))));
    }

    #[test]
    fn a_repository_without_go_mod_is_one_module_named_by_its_root() {
        let src = tree(&[("a/b/x.go", "")]);
        let layout = locate(src.path(), "ex.com/r", "ex.com/r/a/b").unwrap();
        assert_eq!((layout.module_path.as_str(), layout.has_go_mod), ("ex.com/r", false));
        assert_eq!((layout.module_dir.as_str(), layout.package_dir.as_str()), ("", "a/b"));
    }
}
