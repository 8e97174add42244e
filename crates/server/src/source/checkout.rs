//! The source of one module at one revision, with what it depends on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fetch_job::Fetched;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::source::path::ImportPath;
use crate::source::request::PackageRequest;
use crate::source::version::Revision;
use crate::store::{Entry, sum};

/// What a checkout's `meta.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The import path of the request.
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
    has_dependencies: bool,
    sealed: AtomicBool,
    /// The layer has files of an earlier process, which were neither sealed nor flushed.
    unsealed: AtomicBool,
    /// The layer is known to be as this or an earlier process has sealed it.
    layer_intact: AtomicBool,
    /// The stamp of the sealed layer, once somebody asked for it.
    layer_stamp: Mutex<Option<u64>>,
    /// Held by the build that fills the checkout's layer of the build cache.
    pub(crate) building: tokio::sync::Mutex<()>,
}

/// A folder that is no usable checkout.
#[derive(Debug, thiserror::Error)]
#[error("the fetched source is not usable: {0}")]
pub struct BadCheckout(pub(super) String);

/// The folder that a fetch worker may write.
pub(super) const TREE: &str = "tree";
const META: &str = "meta.json";
/// The part of the Go build cache that belongs to this checkout.
pub(super) const CACHE: &str = "cache";

/// A file in the folder of the build cache, once the layer is complete and flushed.
const SEALED: &str = "sealed";

/// The key of a checkout. Packages of one module have separate checkouts, because each has its own
/// dependencies.
pub(super) fn key(request: &PackageRequest, revision: &Revision) -> String {
    format!("{}{}", key_prefix(request), revision_digest(revision))
}

fn revision_digest(revision: &Revision) -> String {
    short_hex(&Sha256::digest(revision.as_str()))
}

/// The beginning of the keys of all revisions of a requested package.
pub(super) fn key_prefix(request: &PackageRequest) -> String {
    format!("{}-", short_hex(&Sha256::digest(group(request))))
}

/// What all revisions of one package with the same further imports have in common.
pub(super) fn group(request: &PackageRequest) -> String {
    let imports = request.imports.iter().map(ImportPath::as_str);
    std::iter::once(request.path.as_str()).chain(imports).collect::<Vec<_>>().join("\n")
}

/// The first 128 bits of a hash, in hex.
pub(crate) fn short_hex(hash: &[u8]) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Checkout {
    /// Opens a checkout of a store. Checks everything that the worker wrote. Reads the disk.
    pub(super) fn open(key: String, entry: Arc<Entry>) -> Result<Self, BadCheckout> {
        let bad = |what: String| BadCheckout(what);
        let text = std::fs::read(entry.path().join(META)).map_err(|e| bad(e.to_string()))?;
        let meta: Meta = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        let fetched = meta.fetched;
        let revision = Revision::parse(&fetched.revision)
            .ok_or_else(|| bad(format!("{:?} is no revision", fetched.revision)))?;
        if !key.ends_with(&revision_digest(&revision)) {
            return Err(bad(format!("the checkout is not that of the revision {revision}")));
        }
        // A module's path in go.mod need not begin with a host name.
        let import_path =
            ImportPath::parse_import(&fetched.import_path).map_err(|e| bad(e.to_string()))?;
        if !is_package_name(&fetched.package_name) {
            return Err(bad(format!("{:?} is no package name", fetched.package_name)));
        }
        let module_dir = PathBuf::from(&fetched.module_dir);
        if !module_dir.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return Err(bad(format!(
                "the module folder {:?} is not below the source",
                fetched.module_dir
            )));
        }
        // The host would follow a link when it mounts the folder on a build island.
        let tree = entry.path().join(TREE);
        for (name, required) in [("src", true), ("deps", false), ("overlay", false)] {
            match tree.join(name).symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => {}
                Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {}
                _ => return Err(bad(format!("{name} is no folder"))),
            }
        }
        let cache = entry.path().join(CACHE);
        let sealed = cache.join(SEALED).exists();
        Ok(Self {
            has_dependencies: has_entries(&tree.join("deps")),
            sealed: AtomicBool::new(sealed),
            layer_intact: AtomicBool::new(!sealed),
            layer_stamp: Mutex::default(),
            unsealed: AtomicBool::new(!sealed && has_entries(&cache.join("upper"))),
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

    /// Identifies this checkout.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The revision that the version means.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The path that a program imports to call the package.
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

    /// Whether the module is compiled with its own vendor folder.
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

    /// Whether the module has dependencies.
    pub fn has_dependencies(&self) -> bool {
        self.has_dependencies
    }

    /// Files that replace those of the module: go.mod and go.sum, where they were completed.
    pub fn replacements(&self) -> PathBuf {
        self.entry.path().join(TREE).join("overlay")
    }

    /// Whether the checkout's layer of the build cache is complete, and only read from now on.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Makes the checkout's layer of the build cache read-only. A later process finds the layer
    /// sealed if it was flushed.
    pub(crate) fn seal(&self) {
        let cache = self.build_cache();
        self.entry.mark_when_flushed(cache.join("upper"), cache.join(SEALED));
        self.sealed.store(true, Ordering::Release);
    }

    /// Whether the source and the checkout's layer of the build cache are as they were written.
    /// Reads them all, unless this process has written them or read them before.
    pub(crate) fn is_intact(&self) -> std::io::Result<bool> {
        if !self.entry.is_intact()? {
            return Ok(false);
        }
        if self.layer_intact.load(Ordering::Acquire) {
            return Ok(true);
        }
        let cache = self.build_cache();
        let intact = sum::is_intact(&cache.join("upper"), &[], &cache.join(SEALED))?;
        self.layer_intact.store(intact, Ordering::Release);
        Ok(intact)
    }

    /// Has the next [`Checkout::is_intact`] read the files again.
    pub(crate) fn doubt(&self) {
        self.entry.doubt();
        self.layer_intact.store(!self.is_sealed(), Ordering::Release);
    }

    /// Whether no file of a sealed layer was written since the first time that this was asked.
    /// Reads no file.
    pub(crate) fn is_untouched(&self) -> std::io::Result<bool> {
        if !self.is_sealed() {
            return Ok(true);
        }
        let stamp = sum::stamp(&self.build_cache().join("upper"), &[])?;
        Ok(*self.layer_stamp.lock().get_or_insert(stamp) == stamp)
    }

    /// Whether the layer has files of an earlier process that were never sealed; the caller removes
    /// them.
    pub(crate) fn take_unsealed(&self) -> bool {
        self.unsealed.swap(false, Ordering::AcqRel)
    }

    /// The checkout's layer of the Go build cache: the folders `upper` and `work`.
    pub fn build_cache(&self) -> PathBuf {
        self.entry.path().join(CACHE)
    }
}

pub(super) fn write_meta(folder: &Path, meta: &Meta) -> std::io::Result<()> {
    std::fs::write(folder.join(META), serde_json::to_vec_pretty(meta)?)
}

fn has_entries(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// The `meta.json` in the folder of a checkout, if it can be read.
pub(super) fn meta(folder: &Path) -> Option<Meta> {
    serde_json::from_slice(&std::fs::read(folder.join(META)).ok()?).ok()
}

/// Whether a text is a Go identifier other than the blank one.
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
            let key = format!("k-{}", revision_digest(&Revision::parse("v1.0.0").unwrap()));
            Checkout::open(key.clone(), store.publish(&key, scratch).unwrap()).is_ok()
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
        let request = |path: &str, imports: &[&str]| PackageRequest {
            path: ImportPath::parse(path).unwrap(),
            version: None,
            imports: imports.iter().map(|path| ImportPath::parse(path).unwrap()).collect(),
        };
        let revision = |text| Revision::parse(text).unwrap();
        let keys = [
            key(&request("a.b/c", &[]), &revision("v1.0.0")),
            key(&request("a.b/c", &[]), &revision("v1.0.1")),
            key(&request("a.b/d", &[]), &revision("v1.0.0")),
            key(&request("a.b/c", &["a.b/d"]), &revision("v1.0.0")),
        ];
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert!(keys[0].starts_with(&key_prefix(&request("a.b/c", &[]))));
        assert!(!keys[2].starts_with(&key_prefix(&request("a.b/c", &[]))));
    }
}
