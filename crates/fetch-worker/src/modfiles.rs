//! The go.mod and go.sum that a fetch may write to: scratch copies, saved as an overlay where they came to differ.
//!
//! The module's own files are only read.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::complete::CompleteError;
use super::gocmd::GoCommand;
use super::lookup;
use super::module::{self, Layout};
use super::scratch::Scratch;

/// The language of code that does not say: new enough for generics and a pruned module graph, old enough for
/// loop variables and run-time defaults as they were when such code was written.
const LANGUAGE: &str = "1.20";
/// Scratch copies of go.mod and go.sum, which the go command may write.
pub(super) struct ModFiles {
    go_mod: PathBuf,
    go_sum: PathBuf,
    /// Where the module has no go.mod the go command must be made to see one.
    overlay: Option<PathBuf>,
}

impl ModFiles {
    /// Copies what the module in `dir` has, and writes what it lacks.
    pub(super) fn prepare(dir: &Path, layout: &Layout, scratch: &Scratch) -> io::Result<Self> {
        let folder = scratch.folder("mod")?;
        let (go_mod, go_sum) = (folder.join("go.mod"), folder.join("go.sum"));
        let mut text = if layout.has_go_mod {
            fs::read_to_string(dir.join("go.mod"))?
        } else {
            format!("module {}\n", layout.module_path)
        };
        if !module::has_go_line(&text) {
            // Without it the go command would write down its own version, and with that another language.
            text.push_str(&format!("\ngo {LANGUAGE}\n"));
        }
        fs::write(&go_mod, text)?;
        let _ = fs::remove_file(&go_sum);
        if dir.join("go.sum").is_file() {
            fs::write(&go_sum, fs::read(dir.join("go.sum"))?)?;
        }
        let overlay = (!layout.has_go_mod).then(|| folder.join("overlay.json"));
        Ok(Self { go_mod, go_sum, overlay })
    }

    /// The flags that make the go command use them.
    pub(super) fn flags(&self, dir: &Path) -> io::Result<Vec<String>> {
        let utf8 = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .ok_or_else(|| io::Error::other("a folder's name is not UTF-8"))
        };
        let mut flags = vec!["-mod=mod".to_owned(), format!("-modfile={}", utf8(&self.go_mod)?)];
        if let Some(overlay) = &self.overlay {
            let replace =
                serde_json::json!({"Replace": {utf8(&dir.join("go.mod"))?: utf8(&self.go_mod)?}});
            fs::write(overlay, replace.to_string())?;
            flags.push(format!("-overlay={}", utf8(overlay)?));
        }
        Ok(flags)
    }

    /// Looks up the modules of imports by ourselves and requires them; says whether any was found.
    pub(super) fn require(
        &self,
        go: &GoCommand<'_>,
        scratch: &Scratch,
        imports: &[String],
    ) -> Result<bool, CompleteError> {
        let mut lines = BTreeSet::new();
        for import in imports {
            let found = lookup::query(go, scratch, import, None)?;
            if let Some(module) = found.into_iter().find_map(Result::ok) {
                lines.insert(format!("require {} {}\n", module.path, module.version));
            }
        }
        if lines.is_empty() {
            return Ok(false);
        }
        let mut text = fs::read_to_string(&self.go_mod)?;
        text.push('\n');
        text.extend(lines);
        fs::write(&self.go_mod, text)?;
        Ok(true)
    }

    /// Writes what differs from the module's own files, or is missing there, to `overlay`.
    pub(super) fn save(&self, dir: &Path, overlay: &Path) -> io::Result<()> {
        fs::create_dir_all(overlay)?;
        for (file, name) in [(&self.go_mod, "go.mod"), (&self.go_sum, "go.sum")] {
            let Ok(made) = fs::read(file) else { continue };
            if fs::read(dir.join(name)).ok().as_ref() != Some(&made) {
                fs::write(overlay.join(name), made)?;
            }
        }
        Ok(())
    }
}

/// Removes from a module cache what only downloads need: archives, locks, the checksum database.
pub(super) fn lighten(deps: &Path) -> io::Result<()> {
    let download = deps.join("cache/download");
    super::scratch::remove_tree(&download.join("sumdb"))?;
    super::scratch::remove_tree(&deps.join("cache/vcs"))?;
    let mut folders = vec![download];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let path = entry?.path();
            let extension = path.extension().and_then(|e| e.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if matches!(extension, Some("zip" | "lock" | "partial")) {
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}
