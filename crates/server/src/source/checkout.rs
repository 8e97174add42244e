//! The source of one module at one revision, with what it depends on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fetch_job::Fetched;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::source::PackageRequest;
use crate::source::path::ImportPath;
use crate::source::version::Revision;
use crate::store::Entry;

/// What a checkout's `meta.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The import path that was asked for.
    pub(super) asked: String,
    pub(super) imports: Vec<String>,
    pub(super) fetched: Fetched,
}

/// A module's source, read-only, on disk.
pub struct Checkout {
    entry: Arc<Entry>,
    key: String,
    revision: Revision,
    import_path: ImportPath,
    package_name: String,
    module_dir: PathBuf,
    vendored: bool,
    cgo: bool,
    sealed: AtomicBool,
    /// Held by the build that fills the checkout's layer of the build cache.
    pub(crate) building: tokio::sync::Mutex<()>,
}

/// A folder that is no checkout that we can use.
#[derive(Debug, thiserror::Error)]
#[error("not a usable checkout: {0}")]
pub struct BadCheckout(pub(super) String);

/// What a worker may write below [`TREE`].
pub(super) const TREE: &str = "tree";
const META: &str = "meta.json";
/// The part of the Go build cache that belongs to this checkout.
pub(super) const CACHE: &str = "cache";

/// In the folder of the build cache, once its layer is complete.
const SEALED: &str = "sealed";

/// The key of a checkout. Packages of one module have checkouts of their own, for each has its own dependencies.
pub(super) fn key(want: &PackageRequest, revision: &Revision) -> String {
    format!("{}{}", key_prefix(want), short_hex(&Sha256::digest(revision.as_str())))
}

/// What the keys of all revisions of what is wanted begin with.
pub(super) fn key_prefix(want: &PackageRequest) -> String {
    format!("{}-", short_hex(&Sha256::digest(group(want))))
}

/// What all revisions of one package with the same further imports have in common.
pub(super) fn group(want: &PackageRequest) -> String {
    let imports = want.imports.iter().map(ImportPath::as_str);
    std::iter::once(want.path.as_str()).chain(imports).collect::<Vec<_>>().join("\n")
}

/// The first 128 bits of a hash, in hex.
pub(crate) fn short_hex(hash: &[u8]) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Checkout {
    /// Opens what lies in a store, trusting nothing that the worker said without a look.
    pub(super) fn open(key: String, entry: Arc<Entry>) -> Result<Self, BadCheckout> {
        let bad = |what: String| BadCheckout(what);
        let text = std::fs::read(entry.path().join(META)).map_err(|e| bad(e.to_string()))?;
        let meta: Meta = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        let fetched = meta.fetched;
        let revision = Revision::parse(&fetched.revision)
            .ok_or_else(|| bad(format!("its revision is {:?}", fetched.revision)))?;
        // A module may call itself what it likes, even by a name that no host has.
        let import_path =
            ImportPath::parse_import(&fetched.import_path).map_err(|e| bad(e.to_string()))?;
        if !is_package_name(&fetched.package_name) {
            return Err(bad(format!("its package is called {:?}", fetched.package_name)));
        }
        let module_dir = PathBuf::from(&fetched.module_dir);
        if !module_dir.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return Err(bad(format!("its module lies in {:?}", fetched.module_dir)));
        }
        // A link would be followed on the host when a build is shown what lies behind it.
        let tree = entry.path().join(TREE);
        for (name, required) in [("src", true), ("deps", false), ("overlay", false)] {
            match tree.join(name).symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => {}
                Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {}
                _ => return Err(bad(format!("its {name} is no folder"))),
            }
        }
        let sealed = AtomicBool::new(entry.path().join(CACHE).join(SEALED).exists());
        Ok(Self {
            sealed,
            entry,
            key,
            revision,
            import_path,
            package_name: fetched.package_name,
            module_dir,
            vendored: fetched.vendored,
            cgo: fetched.cgo,
            building: tokio::sync::Mutex::new(()),
        })
    }

    /// Names this checkout among all.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What its version means.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// What a program imports to call the package.
    pub fn import_path(&self) -> &ImportPath {
        &self.import_path
    }

    /// The name in the package clause, a Go identifier.
    pub fn package_name(&self) -> &str {
        &self.package_name
    }

    /// The module's folder, relative to [`Checkout::source`].
    pub fn module_dir(&self) -> &Path {
        &self.module_dir
    }

    /// Whether it is compiled with its own vendor folder.
    pub fn is_vendored(&self) -> bool {
        self.vendored
    }

    /// Whether files of the package are left out because they need cgo.
    pub fn lacks_cgo(&self) -> bool {
        self.cgo
    }

    /// The files of the repository.
    pub fn source(&self) -> PathBuf {
        self.entry.path().join(TREE).join("src")
    }

    /// The module cache with its dependencies.
    pub fn dependencies(&self) -> PathBuf {
        self.entry.path().join(TREE).join("deps")
    }

    /// Whether it has any. Reads the disk.
    pub fn has_dependencies(&self) -> bool {
        std::fs::read_dir(self.dependencies()).is_ok_and(|mut folder| folder.next().is_some())
    }

    /// Files that replace those of the module: go.mod and go.sum, where they were completed.
    pub fn replacements(&self) -> PathBuf {
        self.entry.path().join(TREE).join("overlay")
    }

    /// Whether its layer of the build cache is complete, and only read from now on.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Its layer of the build cache is complete.
    pub(crate) fn seal(&self) -> std::io::Result<()> {
        std::fs::write(self.build_cache().join(SEALED), "")?;
        self.sealed.store(true, Ordering::Release);
        Ok(())
    }

    /// Its layer of the Go build cache: the folders `upper` and `work`.
    pub fn build_cache(&self) -> PathBuf {
        self.entry.path().join(CACHE)
    }
}

pub(super) fn write_meta(folder: &Path, meta: &Meta) -> std::io::Result<()> {
    std::fs::write(folder.join(META), serde_json::to_vec_pretty(meta)?)
}

/// What the folder of a checkout says, if it can be read.
pub(super) fn meta(folder: &Path) -> Option<Meta> {
    serde_json::from_slice(&std::fs::read(folder.join(META)).ok()?).ok()
}

/// Whether a text is a Go identifier of ASCII or other letters, which the blank one is not.
fn is_package_name(text: &str) -> bool {
    let mut chars = text.chars();
    let letter = |c: char| c == '_' || c.is_alphabetic();
    chars.next().is_some_and(letter) && chars.all(|c| letter(c) || c.is_numeric()) && text != "_"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_whose_folders_are_links_is_refused() {
        use crate::source::Origin;
        use crate::store::Store;
        use crate::store::Trash;
        let root = tempfile::tempdir().unwrap();
        let trash = Arc::new(Trash::open(root.path()).unwrap());
        let keep = std::time::Duration::from_secs(100);
        let store = Store::open(root.path().join("c"), trash.clone(), 1 << 20, keep).unwrap();
        let open = |link: Option<&str>| {
            let scratch = trash.scratch().unwrap();
            let tree = scratch.folder(TREE, None).unwrap();
            for name in ["src", "deps", "overlay"] {
                if link == Some(name) {
                    std::os::unix::fs::symlink("/etc", tree.join(name)).unwrap();
                } else {
                    std::fs::create_dir(tree.join(name)).unwrap();
                }
            }
            let fetched = Fetched {
                revision: "v1.0.0".into(),
                origin: Origin::Proxy,
                module_path: "a.b/c".into(),
                module_dir: String::new(),
                import_path: "a.b/c".into(),
                package_name: "c".into(),
                vendored: false,
                cgo: false,
            };
            let meta = Meta { asked: "a.b/c".into(), imports: Vec::new(), fetched };
            write_meta(scratch.path(), &meta).unwrap();
            Checkout::open("k".into(), store.publish("k", scratch).unwrap()).is_ok()
        };
        assert!(open(None));
        for name in ["src", "deps", "overlay"] {
            assert!(!open(Some(name)), "{name}");
        }
    }

    #[test]
    fn a_package_name_is_a_go_identifier() {
        assert!(["geohash", "_x", "yaml3", "größe"].iter().all(|name| is_package_name(name)));
        assert!(
            ["", "_", "3d", "a b", "a\"", "a;b", "a.b"].iter().all(|name| !is_package_name(name))
        );
    }

    #[test]
    fn keys_differ_by_path_imports_and_revision() {
        let want = |path: &str, imports: &[&str]| PackageRequest {
            path: ImportPath::parse(path).unwrap(),
            version: None,
            imports: imports.iter().map(|path| ImportPath::parse(path).unwrap()).collect(),
        };
        let revision = |text| Revision::parse(text).unwrap();
        let keys = [
            key(&want("a.b/c", &[]), &revision("v1.0.0")),
            key(&want("a.b/c", &[]), &revision("v1.0.1")),
            key(&want("a.b/d", &[]), &revision("v1.0.0")),
            key(&want("a.b/c", &["a.b/d"]), &revision("v1.0.0")),
        ];
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert!(keys[0].starts_with(&key_prefix(&want("a.b/c", &[]))));
        assert!(!keys[2].starts_with(&key_prefix(&want("a.b/c", &[]))));
    }
}
