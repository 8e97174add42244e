//! A commit's files, written to a folder.
//!
//! The repository is hostile: nothing is written outside the folder, no name but a plain one is
//! written, every byte is charged before it is read out of the object store, and links are made
//! last, so that no write can pass through one. Hooks, filters, attributes and submodules do not
//! exist here.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use git2::{FileMode, ObjectType, Odb, Oid, Repository};

use super::budget::{Budget, ENTRY_COST, OverBudget};

/// The deepest folder; no Go package lies deeper.
const MAX_DEPTH: usize = 100;
/// The largest list of a folder, and the longest target of a link, in bytes.
const MAX_TREE: u64 = 16 << 20;
const MAX_LINK: u64 = 4096;

/// Why the files could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    #[error("a git object is missing or corrupt: {0}")]
    Object(#[source] git2::Error),
    #[error(
        "a folder is nested more than {MAX_DEPTH} levels deep, or its list has more than 16 MiB"
    )]
    Shape,
    #[error(transparent)]
    Budget(#[from] OverBudget),
    #[error("a file cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Writes the files of `commit` to `dest`, which must not exist.
pub(super) fn write(
    repo: &Repository,
    commit: Oid,
    dest: &Path,
    budget: &Budget,
) -> Result<(), TreeError> {
    let odb = repo.odb().map_err(TreeError::Object)?;
    let tree = repo.find_commit(commit).map_err(TreeError::Object)?.tree_id();
    let mut writer = TreeWriter { repo, odb: &odb, budget, links: Vec::new() };
    writer.folder(tree, dest, 0)?;
    writer.links(dest)
}

struct TreeWriter<'a> {
    repo: &'a Repository,
    odb: &'a Odb<'a>,
    budget: &'a Budget,
    links: Vec<(PathBuf, PathBuf)>,
}

impl TreeWriter<'_> {
    fn folder(&mut self, tree: Oid, dest: &Path, depth: usize) -> Result<(), TreeError> {
        if depth > MAX_DEPTH || self.size(tree, ObjectType::Tree)? > MAX_TREE {
            return Err(TreeError::Shape);
        }
        fs::create_dir(dest).map_err(TreeError::Write)?;
        let tree = self.repo.find_tree(tree).map_err(TreeError::Object)?;
        for entry in &tree {
            let Some(name) = std::str::from_utf8(entry.name_bytes()).ok().filter(|n| is_plain(n))
            else {
                continue;
            };
            self.budget.charge(ENTRY_COST)?;
            let path = dest.join(name);
            let mode = entry.filemode();
            let written = if mode == i32::from(FileMode::Tree) {
                self.folder(entry.id(), &path, depth + 1)
            } else if mode == i32::from(FileMode::Link) {
                self.link(entry.id(), path)
            } else if mode == i32::from(FileMode::Commit) {
                Ok(())
            } else {
                let executable = mode == i32::from(FileMode::BlobExecutable);
                self.file(entry.id(), &path, if executable { 0o755 } else { 0o644 })
            };
            match written {
                // A tree may have a name twice; the first entry counts.
                Err(TreeError::Write(e)) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn size(&self, id: Oid, kind: ObjectType) -> Result<u64, TreeError> {
        let (size, found) = self.odb.read_header(id).map_err(TreeError::Object)?;
        if found != kind {
            return Err(TreeError::Object(git2::Error::from_str(
                "an object has another type than the tree says",
            )));
        }
        Ok(size as u64)
    }

    fn blob(&self, id: Oid, most: u64) -> Result<Option<Vec<u8>>, TreeError> {
        let size = self.size(id, ObjectType::Blob)?;
        if size > most {
            return Ok(None);
        }
        self.budget.charge(size)?;
        let object = self.odb.read(id).map_err(TreeError::Object)?;
        Ok(Some(object.data().to_vec()))
    }

    fn file(&self, id: Oid, path: &Path, mode: u32) -> Result<(), TreeError> {
        let Some(data) = self.blob(id, u64::MAX)? else { return Ok(()) };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .and_then(|mut file| file.write_all(&data))
            .map_err(TreeError::Write)
    }

    fn link(&mut self, id: Oid, path: PathBuf) -> Result<(), TreeError> {
        if let Some(data) = self.blob(id, MAX_LINK)?
            && let Ok(target) = String::from_utf8(data)
            && !target.contains('\0')
        {
            self.links.push((path, PathBuf::from(target)));
        }
        Ok(())
    }

    /// Creates the links, then removes each link that leads out of `root` or nowhere.
    fn links(&self, root: &Path) -> Result<(), TreeError> {
        let root = root.canonicalize().map_err(TreeError::Write)?;
        let mut made = Vec::new();
        for (path, target) in &self.links {
            if target.as_os_str().is_empty() || !is_relative(target) {
                continue;
            }
            match symlink(target, path) {
                Ok(()) => made.push(path),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(TreeError::Write(e)),
            }
        }
        for path in made {
            if !path.canonicalize().is_ok_and(|real| real.starts_with(&root)) {
                fs::remove_file(path).map_err(TreeError::Write)?;
            }
        }
        Ok(())
    }
}

fn is_relative(target: &Path) -> bool {
    target.components().all(|c| !matches!(c, Component::RootDir | Component::Prefix(_)))
}

/// A name that is one element of a path and not git's own folder. Without control characters, so
/// that no tool prints a name as lines of its own; Go allows them in no module.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && !name.contains('/')
        && !name.contains(char::is_control)
        && !name.eq_ignore_ascii_case(".git")
        && name.len() <= 255
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Repo(Repository, super::super::scratch::Scratch);

    fn repo() -> Repo {
        let scratch = super::super::scratch::Scratch::new().unwrap();
        Repo(Repository::init_bare(scratch.path().join("r.git")).unwrap(), scratch)
    }

    impl Repo {
        fn blob(&self, text: &str) -> Oid {
            self.0.blob(text.as_bytes()).unwrap()
        }

        /// A tree as its bytes, for what git2's builder refuses to write.
        fn tree(&self, entries: &[(&str, &str, Oid)]) -> Oid {
            let mut raw = Vec::new();
            for (mode, name, id) in entries {
                raw.extend_from_slice(format!("{mode} {name}\0").as_bytes());
                raw.extend_from_slice(id.as_bytes());
            }
            self.0.odb().unwrap().write(ObjectType::Tree, &raw).unwrap()
        }

        fn commit(&self, tree: Oid) -> Oid {
            let who = git2::Signature::now("a", "a@b").unwrap();
            let tree = self.0.find_tree(tree).unwrap();
            self.0.commit(None, &who, &who, "m", &tree, &[]).unwrap()
        }

        fn write(&self, tree: Oid, max: u64) -> (PathBuf, Result<(), TreeError>) {
            let dest = self.1.path().join("src");
            let result = write(&self.0, self.commit(tree), &dest, &Budget::new(max));
            (dest, result)
        }
    }

    #[test]
    fn files_keep_their_modes_and_git_folders_and_submodules_are_left_out() {
        use std::os::unix::fs::PermissionsExt;
        let r = repo();
        let (a, b) = (r.blob("a"), r.blob("b"));
        let sub = r.tree(&[("100644", "b", b)]);
        let tree = r.tree(&[
            ("100644", ".GIT", a),
            ("40000", ".git", sub),
            ("160000", "module", Oid::from_str(&"1".repeat(40)).unwrap()),
            ("40000", "sub", sub),
            ("100755", "tool", a),
        ]);
        let (dest, result) = r.write(tree, 1 << 20);
        result.unwrap();
        assert_eq!(fs::read_to_string(dest.join("sub/b")).unwrap(), "b");
        let mode = fs::metadata(dest.join("tool")).unwrap().permissions().mode();
        assert_eq!(mode & 0o100, 0o100);
        for absent in [".GIT", ".git", "module"] {
            assert!(!dest.join(absent).exists(), "{absent}");
        }
    }

    #[test]
    fn no_link_leads_out_of_the_folder_and_nothing_is_written_through_one() {
        let r = repo();
        let text = r.blob("x");
        let link = |to: &str| r.blob(to);
        let inner = r.tree(&[
            ("120000", "up", link("../..")),
            ("120000", "sneaky", link("up/../../../..")),
            ("120000", "fine", link("../a")),
        ]);
        let deep = r.tree(&[("40000", "inner", inner)]);
        let tree = r.tree(&[
            ("100644", "a", text),
            ("120000", "abs", link("/")),
            ("120000", "dangling", link("nowhere")),
            ("120000", "deep", link("/tmp")),
            ("40000", "deep", deep),
            ("120000", "inner", link("deep/inner")),
            ("120000", "loop", link("loop")),
            ("120000", "out", link("..")),
        ]);
        let (dest, result) = r.write(tree, 1 << 20);
        result.unwrap();
        let kept = |name: &str| fs::symlink_metadata(dest.join(name)).is_ok_and(|m| m.is_symlink());
        for out in ["abs", "dangling", "loop", "out", "deep/inner/sneaky", "deep/inner/fine"] {
            assert!(!kept(out), "{out}");
        }
        assert!(kept("inner") && kept("deep/inner/up"));
        assert!(
            fs::symlink_metadata(dest.join("deep")).unwrap().is_dir()
                || !dest.join("deep").exists()
        );
    }

    #[test]
    fn names_that_climb_are_not_written() {
        let r = repo();
        let a = r.blob("a");
        for name in ["..", ".", "x/../../y", "/y", "y\nx: signal: killed\n.go"] {
            let tree = r.0.odb().unwrap();
            let mut raw = format!("100644 {name}\0").into_bytes();
            raw.extend_from_slice(a.as_bytes());
            let id = tree.write(ObjectType::Tree, &raw).unwrap();
            let (dest, _) = r.write(id, 1 << 20);
            assert!(!dest.parent().unwrap().join("y").exists());
            assert!(fs::read_dir(&dest).map_or(0, Iterator::count) == 0, "{name}");
            let _ = fs::remove_dir_all(dest);
        }
    }

    #[test]
    fn a_tree_that_repeats_itself_stops_at_the_budget() {
        let r = repo();
        let mut tree = r.tree(&[("100644", "f", r.blob("f"))]);
        for _ in 0..10 {
            let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
            let entries: Vec<_> = names.iter().map(|n| ("40000", *n, tree)).collect();
            tree = r.tree(&entries);
        }
        let (_, result) = r.write(tree, 1 << 20);
        assert!(matches!(result, Err(TreeError::Budget(_))), "{result:?}");
    }

    #[test]
    fn a_large_file_is_refused_before_it_is_read() {
        let r = repo();
        let tree = r.tree(&[("100644", "f", r.blob(&"x".repeat(5_000)))]);
        let (dest, result) = r.write(tree, 4_000);
        assert!(matches!(result, Err(TreeError::Budget(_))), "{result:?}");
        assert!(!dest.join("f").exists());
    }
}
