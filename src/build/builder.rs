//! The artifacts of this server: compiled once for all who want them, kept, and let go.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::cacheprog::SINCE_MINOR;
use super::compile::{BuildError, Compiler, Job, Ran};
use super::layering::Layering;
use super::render::{self, Form};
use super::{Artifact, Complaint, GoCache, artifact, diagnose, gocache};
use crate::call::Call;
use crate::flight::Flights;
use crate::source::{Checkout, ImportPath};
use crate::store::Store;

/// Artifacts that are kept open; each costs a descriptor.
const OPEN_ARTIFACTS: usize = 256;

/// What a [`Builder`] needs besides a compiler and its cache.
pub struct BuilderOptions {
    /// Where artifacts are kept.
    pub store: Store,
    /// Builds at once.
    pub builds: usize,
    /// How long a build waits for its turn.
    pub wait: Duration,
}

/// The artifacts; see the module.
pub struct Builder {
    compiler: Compiler,
    cache: GoCache,
    store: Store,
    open: Mutex<HashMap<String, Arc<Artifact>>>,
    flights: Flights<(String, bool), Result<Arc<Artifact>, Arc<BuildError>>>,
    permits: Semaphore,
    wait: Duration,
}

/// What is to be compiled.
#[derive(Clone)]
pub struct Wanted {
    /// The source.
    pub checkout: Arc<Checkout>,
    /// The call.
    pub call: Arc<Call>,
    /// Packages that the call names, where they are not evident.
    pub imports: Vec<ImportPath>,
}

impl Builder {
    /// A builder whose artifacts lie in a store.
    pub fn new(compiler: Compiler, cache: GoCache, options: BuilderOptions) -> Self {
        if compiler.layering() == Layering::None {
            tracing::warn!(
                go = compiler.toolchain.version(),
                "this Go cannot share compiled packages here, so each package compiles the standard library for itself; \
                 Go 1.{SINCE_MINOR} or later can"
            );
        }
        Self {
            compiler,
            cache,
            store: options.store,
            open: Mutex::default(),
            flights: Flights::default(),
            permits: Semaphore::new(options.builds),
            wait: options.wait,
        }
    }

    /// The artifact for a call. `bust` compiles it anew.
    pub async fn find(
        self: &Arc<Self>,
        wanted: &Wanted,
        bust: bool,
    ) -> Result<Arc<Artifact>, Arc<BuildError>> {
        let key = self.key(wanted);
        if !bust && let Some(artifact) = self.known(&key) {
            return Ok(artifact);
        }
        let (me, wanted) = (self.clone(), wanted.clone());
        let flight = self.flights.join((key.clone(), bust), || async move {
            // Another flight may have landed between the look above and this one's start.
            match me.known(&key).filter(|_| !bust) {
                Some(artifact) => Ok(artifact),
                None => me.build(&key, &wanted).await.map_err(Arc::new),
            }
        });
        flight.await.unwrap_or_else(|lost| Err(Arc::new(BuildError::Broke(lost.to_string()))))
    }

    /// Everything that the bytes of an artifact depend on.
    fn key(&self, wanted: &Wanted) -> String {
        let toolchain = &self.compiler.toolchain;
        let mut hash = Sha256::new();
        let fixed = [
            env!("CARGO_PKG_VERSION"),
            render::TEMPLATES,
            wanted.checkout.key(),
            toolchain.version(),
            std::env::consts::ARCH,
            wanted.call.text(),
        ];
        for part in fixed.into_iter().chain(wanted.imports.iter().map(ImportPath::as_str)) {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        crate::source::short_hex(&hash.finalize())
    }

    fn known(&self, key: &str) -> Option<Arc<Artifact>> {
        let entry = self.store.get(key)?;
        if let Some(artifact) = self.open.lock().get(key) {
            return Some(artifact.clone());
        }
        match Artifact::open(entry) {
            Ok(artifact) => Some(self.keep_open(key, Arc::new(artifact))),
            Err(error) => {
                tracing::warn!(%key, %error, "an artifact is let go");
                self.store.remove(key);
                None
            }
        }
    }

    /// Remembers an open artifact. When there are too many, any other one is closed: the store still has it.
    fn keep_open(&self, key: &str, artifact: Arc<Artifact>) -> Arc<Artifact> {
        let mut open = self.open.lock();
        if open.len() >= OPEN_ARTIFACTS
            && let Some(other) = open.keys().find(|other| *other != key).cloned()
        {
            open.remove(&other);
        }
        open.insert(key.to_owned(), artifact.clone());
        artifact
    }

    async fn build(&self, key: &str, wanted: &Wanted) -> Result<Arc<Artifact>, BuildError> {
        let Wanted { checkout, call, .. } = wanted;
        if let Some(found) = call.qualifier()
            && found != checkout.package_name()
        {
            let name = checkout.package_name().to_owned();
            return Err(BuildError::Qualifier { found: found.to_owned(), name });
        }
        let layers = self.cache.layers(&self.compiler).await?;
        let mut layers: Vec<_> = layers.iter().map(|entry| entry.path().join("upper")).collect();
        // The first build of a checkout fills its own layer, which one build at a time may write; the later ones only
        // read it. Where nothing can be laid over it, all of them write it, one after the other.
        let layered = self.compiler.layering() != Layering::None;
        let sealed = || layered && checkout.is_sealed();
        let alone = match sealed() {
            true => None,
            false => Some(
                timeout(self.wait, checkout.building.lock()).await.map_err(|_| BuildError::Busy)?,
            ),
        };
        let permit = timeout(self.wait, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(BuildError::Busy) };
        let own = checkout.build_cache();
        if sealed() {
            drop(alone);
            layers.insert(0, own.join("upper"));
            let program = self.compile(wanted, &layers, None).await?;
            return self.keep(key, &program.program);
        }
        let mut result = self.compile(wanted, &layers, Some(&own)).await;
        if matches!(result, Err(BuildError::Size)) {
            self.compiler.empty_cache(checkout).map_err(BuildError::Disk)?;
            // Where all builds of a checkout write one layer, it may have been the earlier ones.
            if !layered {
                result = self.compile(wanted, &layers, Some(&own)).await;
            }
        }
        let program = result?;
        if layered {
            gocache::seal(own.join("upper")).await?;
            checkout.seal().map_err(BuildError::Disk)?;
        }
        self.keep(key, &program.program)
    }

    /// Runs the compiler in the form that the call needs.
    async fn compile(
        &self,
        wanted: &Wanted,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Ran, BuildError> {
        let Wanted { checkout, call, imports } = wanted;
        for form in [Form::Values, Form::Statement] {
            let minor = self.compiler.toolchain.minor();
            let main_go = render::main_go(checkout, call, imports, form, minor);
            let job = Job::Program { checkout, main_go: &main_go };
            let ran = self.compiler.run(job, layers, cache).await?;
            match ran.complaint().map(|stderr| diagnose::read(&stderr, call)) {
                Some((Complaint::NoValue, _)) if form == Form::Values => continue,
                Some((complaint, text)) => {
                    return Err(refusal(complaint, text, checkout.lacks_cgo()));
                }
                None => {}
            }
            ran.accept()?;
            return Ok(ran);
        }
        Err(BuildError::Broke("the call neither has results nor is a statement".into()))
    }

    fn keep(&self, key: &str, program: &Path) -> Result<Arc<Artifact>, BuildError> {
        let scratch = self.compiler.trash.scratch().map_err(BuildError::Disk)?;
        artifact::adopt(program, scratch.path()).map_err(BuildError::Disk)?;
        let entry = self.store.publish(key, scratch)?;
        let artifact = Arc::new(Artifact::open(entry).map_err(BuildError::Disk)?);
        Ok(self.keep_open(key, artifact))
    }

    /// Compiles the standard library ahead of its use.
    pub async fn warm(&self) -> Result<(), BuildError> {
        self.cache.warm(&self.compiler).await
    }

    /// Lets go of what is too old or too much. Reads the disk.
    pub fn purge(&self) -> u64 {
        let remaining = self.store.purge();
        self.open.lock().retain(|key, _| self.store.has(key));
        remaining
    }
}

/// What a complaint means for a package of which cgo may have left files out.
fn refusal(complaint: Complaint, text: String, lacks_cgo: bool) -> BuildError {
    let outside_the_call = complaint == Complaint::Refused && !text.contains("call:");
    if lacks_cgo && (complaint == Complaint::NoFunction || outside_the_call) {
        let text = format!("{text}\nfiles of the package need cgo, which is not to be had here");
        return BuildError::Refused(Complaint::Cgo, text);
    }
    BuildError::Refused(complaint, text)
}
