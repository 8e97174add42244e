//! A repository in a folder of this host: the target of a local mirror. The files are read in
//! place, references as text and objects by git2, without opening the repository: its configuration
//! and hooks have no effect, and another user may own it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::{Odb, Oid, Repository};

use super::refs::Ref;

/// How many references may point to each other in a chain.
const HOPS: usize = 5;
/// The largest packed-refs file, in bytes.
const MAX_REFS_FILE: u64 = 256 << 20;

/// Why a folder's repository could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocalError {
    #[error("the references cannot be read: {0}")]
    Refs(#[source] io::Error),
    #[error("the objects cannot be read: {0}")]
    Objects(#[source] git2::Error),
}

/// The repository.
pub(super) struct LocalRepo {
    git_dir: PathBuf,
}

impl LocalRepo {
    /// The repository at `path`, bare or with a `.git`, if there is one.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let dot_git = path.join(".git");
        let linked = || {
            let text = fs::read_to_string(&dot_git).ok()?;
            Some(path.join(text.strip_prefix("gitdir:")?.trim()))
        };
        [Some(path.to_path_buf()), Some(dot_git.clone()), linked()]
            .into_iter()
            .flatten()
            .find(|dir| dir.join("HEAD").is_file() && dir.join("objects").is_dir())
            .map(|git_dir| Self { git_dir })
    }

    /// A view of its objects that cannot write to it.
    pub(super) fn objects(&self) -> Result<Repository, LocalError> {
        let open = || {
            let odb = Odb::new()?;
            let objects = self.git_dir.join("objects");
            let objects = objects
                .to_str()
                .ok_or_else(|| git2::Error::from_str("the name of the folder is not UTF-8"))?;
            odb.add_disk_alternate(objects)?;
            Repository::from_odb(odb)
        };
        open().map_err(LocalError::Objects)
    }

    /// HEAD, branches and tags, tags peeled with the help of `objects`.
    pub(super) fn refs(&self, objects: &Repository) -> Result<Vec<Ref>, LocalError> {
        let mut names = BTreeMap::new();
        self.packed(&mut names).map_err(LocalError::Refs)?;
        for folder in ["refs/heads", "refs/tags"] {
            self.loose(folder, &mut names).map_err(LocalError::Refs)?;
        }
        if let Some(head) = self.resolve("HEAD", &names) {
            names.insert("HEAD".to_owned(), head);
        }
        Ok(names
            .into_iter()
            .map(|(name, oid)| {
                let peeled = name
                    .starts_with("refs/tags/")
                    .then(|| objects.find_object(oid, None).ok()?.peel_to_commit().ok())
                    .flatten()
                    .map(|commit| commit.id());
                Ref { name, oid, peeled }
            })
            .collect())
    }

    fn packed(&self, names: &mut BTreeMap<String, Oid>) -> io::Result<()> {
        let path = self.git_dir.join("packed-refs");
        match fs::metadata(&path) {
            Ok(meta) if meta.len() <= MAX_REFS_FILE => {}
            Ok(_) => return Err(io::Error::other("packed-refs has more than 256 MiB")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        }
        for line in String::from_utf8_lossy(&fs::read(path)?).lines() {
            if let Some((oid, name)) = line.split_once(' ')
                && let Some(oid) = full(oid)
                && (name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
            {
                names.insert(name.to_owned(), oid);
            }
        }
        Ok(())
    }

    fn loose(&self, folder: &str, names: &mut BTreeMap<String, Oid>) -> io::Result<()> {
        let entries = match fs::read_dir(self.git_dir.join(folder)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(|n| format!("{folder}/{n}")) else {
                continue;
            };
            if entry.file_type()?.is_dir() {
                self.loose(&name, names)?;
            } else if let Some(oid) = self.resolve(&name, names) {
                names.insert(name, oid);
            }
        }
        Ok(())
    }

    fn resolve(&self, name: &str, names: &BTreeMap<String, Oid>) -> Option<Oid> {
        let mut name = name.to_owned();
        for _ in 0..HOPS {
            let Ok(text) = fs::read_to_string(self.git_dir.join(&name)) else {
                return names.get(&name).copied();
            };
            match text.trim().strip_prefix("ref:") {
                Some(next) if next.trim().starts_with("refs/") && !next.contains("..") => {
                    next.trim().clone_into(&mut name);
                }
                Some(_) => return None,
                None => return full(text.trim()),
            }
        }
        None
    }
}

fn full(text: &str) -> Option<Oid> {
    if text.len() == 40 { Oid::from_str(text).ok() } else { None }
}
