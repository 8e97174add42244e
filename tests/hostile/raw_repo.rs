//! A bare repository whose trees are written as their bytes, for what every honest writer refuses.

use std::path::Path;

use git2::{ObjectType, Oid, Repository};

/// One entry of a tree: mode, name, object.
pub(crate) type Entry = (&'static str, Vec<u8>, Oid);

/// The repository.
pub(crate) struct RawRepo(Repository);

impl RawRepo {
    /// Makes it, with its folder.
    pub(crate) fn create(path: &Path) -> Result<Self, git2::Error> {
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).external_template(false).mkpath(true).initial_head("master");
        Ok(Self(Repository::init_opts(path, &options)?))
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file's content.
    pub(crate) fn blob(&self, bytes: &[u8]) -> Oid {
        self.object(ObjectType::Blob, bytes)
    }

    /// A folder.
    pub(crate) fn tree(&self, entries: &[Entry]) -> Oid {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend_from_slice(mode.as_bytes());
            raw.push(b' ');
            raw.extend_from_slice(name);
            raw.push(0);
            raw.extend_from_slice(id.as_bytes());
        }
        self.object(ObjectType::Tree, &raw)
    }

    /// A commit of a tree, at which a reference of this name points from now on.
    pub(crate) fn commit(&self, reference: &str, tree: Oid) -> Oid {
        let who = "a <a@example.com> 1500000000 +0000";
        let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nm\n");
        let commit = self.object(ObjectType::Commit, text.as_bytes());
        self.reference(reference, &commit.to_string());
        commit
    }

    /// A reference as the file that it is, whatever its name.
    pub(crate) fn reference(&self, name: &str, text: &str) {
        self.write(name, &format!("{text}\n"));
    }

    /// A file of the repository itself.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    fn object(&self, kind: ObjectType, bytes: &[u8]) -> Oid {
        let odb = self.0.odb().expect("an object store");
        odb.write(kind, bytes).expect("an object")
    }
}
