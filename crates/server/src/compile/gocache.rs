//! The Go build cache, in layers.
//!
//! At the bottom lie compiled packages of the standard library, made by us from the toolchain's own source and never
//! written again; on top, for each checkout, what its builds add. There are two bottom layers: `base`, the few packages
//! that every program needs, which the first build waits for because it needs them anyway; and `std`, all the others,
//! made in the background.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::compiler::{BuildError, Compiler};
use super::job::CompileJob;
use super::layering::Layering;
use super::receiver;
use crate::store::Entry;
use crate::store::Store;

/// What every main.go needs, and what most calls name.
const BASE: [&str; 8] =
    ["fmt", "os", "strings", "strconv", "time", "context", "errors", receiver::PACKAGE];
/// Entries this far ahead look freshly used to the go command, so that it neither touches nor trims a layer.
const FUTURE: Duration = Duration::from_secs(50 * 365 * 24 * 3600);

/// The layers below the checkouts' own.
pub struct GoCache {
    store: Store,
    key: String,
    base: OnceCell<Arc<Entry>>,
}

impl GoCache {
    /// The layers kept in `store`, for one toolchain.
    pub fn new(store: Store, toolchain: &super::Toolchain) -> Self {
        let mut hash = Sha256::new();
        hash.update(toolchain.version());
        hash.update([0]);
        hash.update(toolchain.goroot().as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(super::job::FLAGS.join(" "));
        receiver::FILES.iter().for_each(|(_, text)| hash.update(text));
        let key = crate::source::short_hex(&hash.finalize());
        // Layers of another toolchain are of no use to anybody.
        for (name, _) in store.all().iter().filter(|(name, _)| !name.starts_with(&key)) {
            store.remove(name);
        }
        Self { store, key, base: OnceCell::new() }
    }

    /// The finished layers, the topmost first; none where they cannot be laid over each other. Makes the base layer when
    /// there is none yet.
    pub(super) async fn layers(&self, compiler: &Compiler) -> Result<Vec<Arc<Entry>>, BuildError> {
        if compiler.layering() == Layering::None {
            return Ok(Vec::new());
        }
        let base = self.base.get_or_try_init(|| self.find_or_make(compiler, "base")).await?;
        let std = self.store.get(&self.name("std"));
        Ok(std.into_iter().chain([base.clone()]).collect())
    }

    /// Makes the layer of all other packages of the standard library, when there is none yet.
    pub async fn warm(&self, compiler: &Compiler) -> Result<(), BuildError> {
        if self.layers(compiler).await?.is_empty() {
            return Ok(());
        }
        self.find_or_make(compiler, "std").await.map(|_| ())
    }

    fn name(&self, layer: &str) -> String {
        format!("{}-{layer}", self.key)
    }

    async fn find_or_make(
        &self,
        compiler: &Compiler,
        layer: &str,
    ) -> Result<Arc<Entry>, BuildError> {
        let name = self.name(layer);
        if let Some(entry) = self.store.get(&name) {
            return Ok(entry);
        }
        let began = std::time::Instant::now();
        let base = self.base.get().cloned();
        let packages = if layer == "base" { &BASE[..] } else { &["std"] };
        let scratch = compiler.trash.scratch().map_err(BuildError::Disk)?;
        let layers: Vec<PathBuf> = base.iter().map(|entry| entry.path().join("upper")).collect();
        let owner = compiler.owner();
        scratch.folder("upper", owner).map_err(BuildError::Disk)?;
        scratch.folder("work", owner).map_err(BuildError::Disk)?;
        let background = layer == "std";
        compiler
            .run(CompileJob::Packages { packages, background }, &layers, Some(scratch.path()))
            .await?
            .accept()?;
        scratch.discard("work");
        seal(scratch.path().join("upper")).await?;
        let entry = self.store.publish(&name, scratch)?;
        tracing::info!(
            layer,
            ms = began.elapsed().as_millis() as u64,
            "the standard library is compiled"
        );
        Ok(entry)
    }
}

/// Makes a folder that a build has filled a layer for others: the go command will neither touch nor trim it.
pub(super) async fn seal(folder: PathBuf) -> Result<(), BuildError> {
    let aged = tokio::task::spawn_blocking(move || age(&folder)).await;
    aged.map_err(|e| BuildError::Broke(e.to_string()))?.map_err(BuildError::Disk)
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
