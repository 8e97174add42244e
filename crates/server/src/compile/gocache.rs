//! The Go build cache, in layers.
//!
//! At the bottom lie compiled packages of the standard library. The server makes them from the
//! toolchain's own source and never writes them again. On top lies, for each checkout, what its
//! builds add. There are two bottom layers: `base`, the few packages that every program needs,
//! which the first build waits for because it needs them anyway; and `std`, all the others, made in
//! the background.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::compiler::Compiler;
use super::error::BuildError;
use super::job::{self, CompileJob};
use super::receiver;
use super::toolchain::Toolchain;
use crate::blocking::blocking;
use crate::store::{Entry, Store};

/// The packages that every main.go needs, and that most calls name.
const BASE: [&str; 8] =
    ["fmt", "os", "strings", "strconv", "time", "context", "errors", receiver::PACKAGE];
/// Entries this far ahead look freshly used to the go command, so that it neither touches nor trims
/// a layer.
const FUTURE: Duration = Duration::from_secs(50 * 365 * 24 * 3600);

/// The layers below the checkouts' own.
pub struct GoCache {
    store: Arc<Store>,
    key: String,
    /// Locked while the layer is looked for or made.
    base: Mutex<Option<Arc<Entry>>>,
}

impl GoCache {
    /// The layers kept in `store`, for one toolchain. Reads the disk.
    pub fn new(store: Store, toolchain: &Toolchain) -> Self {
        let mut hash = Sha256::new();
        hash.update(toolchain.version());
        hash.update([0]);
        hash.update(toolchain.goroot().as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(job::FLAGS.join(" "));
        receiver::FILES.iter().for_each(|(_, text)| hash.update(text));
        let key = crate::source::short_hex(&hash.finalize());
        // Layers of another toolchain are of no use.
        for (name, _) in store.all().iter().filter(|(name, _)| !name.starts_with(&key)) {
            store.remove(name);
        }
        Self { store: Arc::new(store), key, base: Mutex::default() }
    }

    /// The finished layers, the topmost first, without damage as far as can be seen. Makes the base
    /// layer when there is none yet.
    pub(super) async fn layers(
        &self,
        compiler: &Arc<Compiler>,
    ) -> Result<Vec<Arc<Entry>>, BuildError> {
        let base = self.base(compiler).await?;
        let std = self.find(self.name("std")).await?;
        Ok(std.into_iter().chain([base]).collect())
    }

    async fn base(&self, compiler: &Arc<Compiler>) -> Result<Arc<Entry>, BuildError> {
        let mut known = self.base.lock().await;
        if known.is_some() {
            *known = self.find(self.name("base")).await?;
        }
        if let Some(base) = &*known {
            return Ok(base.clone());
        }
        let base = self.find_or_make(compiler, "base", &[]).await?;
        Ok(known.insert(base).clone())
    }

    /// Has the layers read again before the next build, for a build has failed in a way that damage
    /// would explain.
    pub(super) async fn doubt(&self) {
        let (store, names) = (self.store.clone(), ["base", "std"].map(|layer| self.name(layer)));
        blocking(move || {
            names.iter().filter_map(|name| store.get(name)).for_each(|entry| entry.doubt());
        })
        .await;
    }

    /// Makes the layer of all other packages of the standard library, when there is none yet.
    pub async fn warm(&self, compiler: &Arc<Compiler>) -> Result<(), BuildError> {
        let base = self.base(compiler).await?;
        self.find_or_make(compiler, "std", &[base]).await.map(|_| ())
    }

    /// Returns when the layers are on the disk.
    pub(super) fn settle(&self) {
        self.store.settle();
    }

    fn name(&self, layer: &str) -> String {
        format!("{}-{layer}", self.key)
    }

    /// A layer, if there is one. One that was damaged is removed.
    async fn find(&self, name: String) -> Result<Option<Arc<Entry>>, BuildError> {
        let store = self.store.clone();
        let found = blocking(move || {
            let Some(entry) = store.get(&name) else { return Ok(None) };
            // No build writes to a finished layer.
            if entry.is_untouched()? && entry.is_intact()? {
                return Ok(Some(entry));
            }
            tracing::error!(path = %entry.path().display(), "the compiled standard library is damaged on disk and is compiled anew");
            store.remove(&name);
            std::io::Result::Ok(None)
        });
        Ok(found.await?)
    }

    async fn find_or_make(
        &self,
        compiler: &Arc<Compiler>,
        layer: &str,
        below: &[Arc<Entry>],
    ) -> Result<Arc<Entry>, BuildError> {
        let name = self.name(layer);
        if let Some(entry) = self.find(name.clone()).await? {
            return Ok(entry);
        }
        let began = std::time::Instant::now();
        let packages = if layer == "base" { &BASE[..] } else { &["std"] };
        let layers: Vec<PathBuf> = below.iter().map(|entry| entry.path().join("upper")).collect();
        let (trash, owner) = (compiler.trash.clone(), compiler.owner());
        let scratch = blocking(move || {
            let scratch = trash.scratch()?;
            scratch.folder("upper", owner)?;
            scratch.folder("work", owner)?;
            std::io::Result::Ok(scratch)
        });
        let scratch = scratch.await?;
        let background = layer == "std";
        compiler
            .run(CompileJob::Packages { packages, background }, &layers, Some(scratch.path()))
            .await?
            .accept()?;
        seal(scratch.path().join("upper")).await?;
        let store = self.store.clone();
        let published = blocking(move || {
            scratch.discard("work");
            let entry = store.publish(&name, scratch)?;
            entry.is_untouched()?;
            Ok::<_, BuildError>(entry)
        });
        let entry = published.await?;
        tracing::info!(
            layer,
            ms = began.elapsed().as_millis() as u64,
            "the standard library is compiled"
        );
        Ok(entry)
    }
}

/// Makes a folder that a build has filled a layer: the go command will neither touch nor trim it.
pub(super) async fn seal(folder: PathBuf) -> Result<(), BuildError> {
    Ok(blocking(move || age(&folder)).await?)
}

/// Dates every file of a layer far ahead.
fn age(folder: &std::path::Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            age(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            std::fs::File::open(entry.path())?.set_modified(SystemTime::now() + FUTURE)?;
        }
    }
    Ok(())
}
