//! The artifacts of this server: compiled once for all who want them, kept, and let go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::compile::{BuildError, Compiler, Job};
use super::render::{self, Form};
use super::{Artifact, Complaint, GoCache, artifact, diagnose};
use crate::call::Call;
use crate::flight::Flights;
use crate::source::{Checkout, ImportPath};
use crate::store::Store;

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
    flights: Flights<(String, bool), Result<Built, Arc<BuildError>>>,
    permits: Semaphore,
    wait: Duration,
}

/// An artifact, and whether it had to be compiled for this call.
#[derive(Clone)]
pub struct Built {
    /// The artifact.
    pub artifact: Arc<Artifact>,
    /// Whether the compiler ran.
    pub compiled: bool,
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
    ) -> Result<Built, Arc<BuildError>> {
        let key = self.key(wanted);
        if !bust && let Some(artifact) = self.known(&key) {
            return Ok(Built { artifact, compiled: false });
        }
        let (me, wanted) = (self.clone(), wanted.clone());
        let flight = self.flights.join((key.clone(), bust), || async move {
            me.build(&key, &wanted).await.map_err(Arc::new)
        });
        flight.await.unwrap_or_else(|lost| Err(Arc::new(BuildError::Broke(lost.to_string()))))
    }

    /// Everything that the bytes of an artifact depend on.
    fn key(&self, wanted: &Wanted) -> String {
        let toolchain = &self.compiler.toolchain;
        let mut hash = Sha256::new();
        let fixed = [
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
            Ok(artifact) => {
                Some(self.open.lock().entry(key.to_owned()).or_insert(Arc::new(artifact)).clone())
            }
            Err(error) => {
                tracing::warn!(%key, %error, "an artifact is let go");
                self.store.remove(key);
                None
            }
        }
    }

    async fn build(&self, key: &str, wanted: &Wanted) -> Result<Built, BuildError> {
        let Wanted { checkout, call, imports } = wanted;
        if let Some(found) = call.qualifier()
            && found != checkout.package_name()
        {
            let name = checkout.package_name().to_owned();
            return Err(BuildError::Qualifier { found: found.to_owned(), name });
        }
        let layers = self.cache.layers(&self.compiler).await?;
        let layers: Vec<_> = layers.iter().map(|entry| entry.path().join("upper")).collect();
        // The kernel lets one mount at a time write a layer.
        let alone = timeout(self.wait, checkout.building.lock()).await;
        let Ok(_alone) = alone else { return Err(BuildError::Busy) };
        let permit = timeout(self.wait, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(BuildError::Busy) };
        for form in [Form::Values, Form::Statement] {
            let main_go =
                render::main_go(checkout, call, imports, form, self.compiler.toolchain.minor());
            let job = Job::Program { checkout, main_go: &main_go };
            let ran = self.compiler.run(job, &layers, &checkout.build_cache()).await?;
            match ran.complaint().map(|stderr| diagnose::read(&stderr, call)) {
                Some((Complaint::NoValue, _)) if form == Form::Values => continue,
                Some((complaint, text)) => {
                    return Err(refusal(complaint, text, checkout.lacks_cgo()));
                }
                None => {}
            }
            if let Err(error) = ran.accept() {
                if matches!(error, BuildError::Size) {
                    self.compiler.empty_cache(checkout).map_err(BuildError::Disk)?;
                }
                return Err(error);
            }
            let artifact = self.keep(key, &ran.program)?;
            return Ok(Built { artifact, compiled: true });
        }
        Err(BuildError::Broke("the call neither has results nor is a statement".into()))
    }

    fn keep(&self, key: &str, program: &std::path::Path) -> Result<Arc<Artifact>, BuildError> {
        let scratch = self.compiler.trash.scratch().map_err(BuildError::Disk)?;
        artifact::adopt(program, scratch.path()).map_err(BuildError::Disk)?;
        let entry = self.store.publish(key, scratch)?;
        let artifact = Arc::new(Artifact::open(entry).map_err(BuildError::Disk)?);
        self.open.lock().insert(key.to_owned(), artifact.clone());
        Ok(artifact)
    }

    /// Compiles the standard library ahead of its use.
    pub async fn warm(&self) -> Result<(), BuildError> {
        self.cache.warm(&self.compiler).await
    }

    /// Lets go of what is too old or too much. Reads the disk.
    pub fn purge(&self) -> u64 {
        let remaining = self.store.purge();
        let left: std::collections::HashSet<String> =
            self.store.all().into_iter().map(|(key, _)| key).collect();
        self.open.lock().retain(|key, _| left.contains(key));
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
