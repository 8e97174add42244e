//! Bare git repositories that the suite makes out of folders.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, RepositoryInitOptions, Signature, Time};

/// The branch that a repository's HEAD names.
pub(crate) const MAIN: &str = "main";
/// When the first commit was made: the time in the pseudo-version of geohash's commit of 2017.
const FIRST_COMMIT: i64 = 1_511_341_648;
/// The same as a pseudo-version has it.
pub(crate) const FIRST_COMMIT_TEXT: &str = "20171122090728";
/// The seconds from one commit to the next.
const BETWEEN_COMMITS: i64 = 86_400;
const FILE: i32 = 0o100_644;
const PROGRAM: i32 = 0o100_755;
const FOLDER: i32 = 0o040_000;

/// A bare repository under construction.
pub(crate) struct Repository {
    git: git2::Repository,
    commits: i64,
}

impl Repository {
    /// Makes an empty one.
    pub(crate) fn create(path: &Path) -> Result<Self, git2::Error> {
        let mut options = RepositoryInitOptions::new();
        options.bare(true).mkpath(true).initial_head(MAIN);
        Ok(Self { git: git2::Repository::init_opts(path, &options)?, commits: 0 })
    }

    /// Makes one of a folder of the suite's fixtures.
    pub(crate) fn of_fixture(path: &Path, fixture: &str) -> Result<Self, git2::Error> {
        let mut repository = Self::create(path)?;
        let commit = repository.commit(&fixtures().join(fixture), None)?;
        repository.tag("v1.0.0", commit)?;
        Ok(repository)
    }

    /// Commits a folder's files to the main branch; `edit` replaces a text in each of them.
    pub(crate) fn commit(
        &mut self,
        from: &Path,
        edit: Option<(&str, &str)>,
    ) -> Result<Oid, git2::Error> {
        let tree = self.git.find_tree(self.tree(from, edit)?)?;
        let parents: Vec<_> =
            self.git.head().and_then(|head| head.peel_to_commit()).into_iter().collect();
        let signature = self.signature()?;
        let parents: Vec<_> = parents.iter().collect();
        let head = Some("HEAD");
        let commit = self.git.commit(head, &signature, &signature, "a state", &tree, &parents)?;
        self.commits += 1;
        Ok(commit)
    }

    /// An annotated tag, which is an object of its own in front of the commit.
    pub(crate) fn tag(&self, name: &str, commit: Oid) -> Result<(), git2::Error> {
        let commit = self.git.find_object(commit, Some(ObjectType::Commit))?;
        self.git.tag(name, &commit, &self.signature()?, name, false).map(drop)
    }

    /// A branch beside the main one.
    pub(crate) fn branch(&self, name: &str, commit: Oid) -> Result<(), git2::Error> {
        self.git.branch(name, &self.git.find_commit(commit)?, false).map(drop)
    }

    fn signature(&self) -> Result<Signature<'static>, git2::Error> {
        let time = Time::new(FIRST_COMMIT + self.commits * BETWEEN_COMMITS, 0);
        Signature::new("The Suite", "suite@example.test", &time)
    }

    fn tree(&self, folder: &Path, edit: Option<(&str, &str)>) -> Result<Oid, git2::Error> {
        let mut builder = self.git.treebuilder(None)?;
        for entry in fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let (path, meta) = (entry.path(), entry.metadata().map_err(io)?);
            if meta.is_dir() {
                builder.insert(entry.file_name(), self.tree(&path, edit)?, FOLDER)?;
                continue;
            }
            let mut bytes = fs::read(&path).map_err(io)?;
            if let (Some((old, new)), Ok(text)) = (edit, std::str::from_utf8(&bytes)) {
                bytes = text.replace(old, new).into_bytes();
            }
            let runs = meta.permissions().mode() & 0o100 != 0;
            let mode = if runs { PROGRAM } else { FILE };
            builder.insert(entry.file_name(), self.git.blob(&bytes)?, mode)?;
        }
        builder.write()
    }
}

/// The folder of the fixtures' sources.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn io(error: std::io::Error) -> git2::Error {
    git2::Error::from_str(&error.to_string())
}
