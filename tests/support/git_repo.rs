//! Bare repositories made with git2, so that no git is needed to have them.

use std::collections::BTreeMap;
use std::path::Path;

use git2::{Oid, Repository, Signature};

/// A bare repository that grows commit by commit.
pub struct BareRepo(Repository);

impl BareRepo {
    /// Makes it, with its folder.
    pub fn create(path: &Path) -> Self {
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).external_template(false).mkpath(true).initial_head("master");
        Self(Repository::init_opts(path, &options).unwrap())
    }

    /// A commit on a branch whose whole content is `files`; a name that ends in `@` makes a link to
    /// the text.
    pub fn commit(&self, branch: &str, files: &[(&str, &str)]) -> Oid {
        let mut root = Node::default();
        for (name, text) in files {
            let (name, mode) = match name.strip_suffix('@') {
                Some(name) => (name, 0o120_000),
                None => (*name, 0o100_644),
            };
            root.insert(name, self.0.blob(text.as_bytes()).unwrap(), mode);
        }
        self.commit_tree(branch, root.write(&self.0))
    }

    /// A commit on a branch of the files in a folder.
    pub fn commit_folder(&self, branch: &str, folder: &Path) -> Oid {
        let mut root = Node::default();
        self.add(&mut root, folder, "");
        self.commit_tree(branch, root.write(&self.0))
    }

    fn add(&self, root: &mut Node, folder: &Path, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                self.add(root, &entry.path(), &format!("{name}/"));
            } else if entry.file_type().unwrap().is_file() {
                let blob = self.0.blob(&std::fs::read(entry.path()).unwrap()).unwrap();
                root.insert(&name, blob, 0o100_644);
            }
        }
    }

    fn commit_tree(&self, branch: &str, tree: Oid) -> Oid {
        let who = Signature::now("a", "a@example.com").unwrap();
        let tree = self.0.find_tree(tree).unwrap();
        let name = format!("refs/heads/{branch}");
        let parent = self.0.refname_to_id(&name).ok().map(|id| self.0.find_commit(id).unwrap());
        let parents: Vec<_> = parent.iter().collect();
        let text = format!("commit {}", parents.len());
        self.0.commit(Some(&name), &who, &who, &text, &tree, &parents).unwrap()
    }

    /// A tag that is only a name.
    pub fn tag(&self, name: &str, commit: Oid) {
        let object = self.0.find_object(commit, None).unwrap();
        self.0.tag_lightweight(name, &object, false).unwrap();
    }

    /// A tag that is an object.
    pub fn annotated_tag(&self, name: &str, commit: Oid) {
        let who = Signature::now("a", "a@example.com").unwrap();
        let object = self.0.find_object(commit, None).unwrap();
        self.0.tag(name, &object, &who, "released", false).unwrap();
    }

    /// A setting of the repository, as a server reads it.
    pub fn set(&self, name: &str, value: &str) {
        self.0.config().unwrap().set_str(name, value).unwrap();
    }
}

#[derive(Default)]
struct Node {
    files: BTreeMap<String, (Oid, i32)>,
    folders: BTreeMap<String, Node>,
}

impl Node {
    fn insert(&mut self, path: &str, blob: Oid, mode: i32) {
        match path.split_once('/') {
            Some((folder, rest)) => {
                self.folders.entry(folder.to_owned()).or_default().insert(rest, blob, mode);
            }
            None => {
                self.files.insert(path.to_owned(), (blob, mode));
            }
        }
    }

    fn write(&self, repo: &Repository) -> Oid {
        let mut builder = repo.treebuilder(None).unwrap();
        for (name, (blob, mode)) in &self.files {
            builder.insert(name, *blob, *mode).unwrap();
        }
        for (name, folder) in &self.folders {
            builder.insert(name, folder.write(repo), 0o040_000).unwrap();
        }
        builder.write().unwrap()
    }
}
