//! The artifacts of this server: compiled once for all who want them, kept, and let go.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::single_flight::SingleFlight;
use goexpr::{Call, FunctionForm};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::artifact::About;
use super::cacheprog::SINCE_MINOR;
use super::compiler::{BuildError, Compiler};
use super::layering::Layering;
use super::output::BuildOutput;
use super::program::{ProgramPlan, Programs};
use super::ttl_cache::TtlCache;
use crate::compile::artifact::Artifact;
use crate::compile::gocache::GoCache;
use crate::compile::{artifact, gocache, key};
use crate::metrics::Cache;
use crate::metrics::Metrics;
use crate::source::Checkout;
use crate::source::ImportPath;
use crate::store::Store;
use crate::store::{Entry, Facts};

/// Artifacts that are kept open; each costs a descriptor.
const OPEN_ARTIFACTS: usize = 256;
/// Refusals that are remembered, so that a broken call in a loop does not compile in a loop; and for how long.
const REFUSALS: usize = 1024;
const REFUSAL_AGE: Duration = Duration::from_secs(60);
/// Functions whose shapes are remembered, functions that have no function form, and calls that do not fit theirs.
const FUNCTIONS: usize = 4096;
/// What is true of a checkout stays true; this only lets go of what nobody asks for any more.
const FUNCTION_AGE: Duration = Duration::from_secs(24 * 3600);

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
    programs: Programs,
    cache: GoCache,
    store: Store,
    open: Mutex<HashMap<String, Arc<Artifact>>>,
    flights: SingleFlight<(String, bool), Result<Option<Arc<Artifact>>, Arc<BuildError>>>,
    refusals: TtlCache<Arc<BuildError>>,
    /// Functions that have no function form.
    formless: TtlCache<()>,
    /// Calls whose arguments their functions' programs cannot represent.
    unrepresentable: TtlCache<()>,
    permits: Semaphore,
    wait: Mutex<Duration>,
    metrics: Metrics,
}

/// What is to be compiled.
#[derive(Clone)]
pub struct BuildRequest {
    /// The source.
    pub checkout: Arc<Checkout>,
    /// The call.
    pub call: Arc<Call>,
    /// Packages that the call names, where they are not evident.
    pub imports: Vec<ImportPath>,
}

/// What runs a call.
#[derive(Clone)]
pub struct Built {
    /// The program.
    pub artifact: Arc<Artifact>,
    /// What it is called with on its line; nothing for a program that has its arguments in it.
    pub arguments: Vec<u8>,
    /// What tells the program from others of its package, whatever its revision; none for one that was compiled for a call
    /// that may never come again.
    pub name: Option<String>,
}

/// An artifact, as operators see it.
#[derive(Clone, Debug)]
pub struct CachedProgram {
    /// Its key, size and use.
    pub facts: Facts,
    pub(super) about: Option<About>,
}

impl CachedProgram {
    /// Its package, revision and function; none for one of a server that did not write that down.
    pub fn about(&self) -> Option<(&str, &str, &str)> {
        self.about.as_ref().map(|it| (&*it.package, &*it.revision, &*it.call))
    }
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
            programs: Programs::new(compiler),
            cache,
            store: options.store,
            open: Mutex::default(),
            flights: SingleFlight::default(),
            refusals: TtlCache::new(REFUSALS, REFUSAL_AGE),
            formless: TtlCache::new(FUNCTIONS, FUNCTION_AGE),
            unrepresentable: TtlCache::new(FUNCTIONS, FUNCTION_AGE),
            permits: Semaphore::new(options.builds),
            wait: Mutex::new(options.wait),
            metrics: Metrics::default(),
        }
    }

    /// Has look-ups and compilations counted.
    pub fn counted(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Compiles by another compiler and keeps artifacts within other bounds, from the next build and purge on. `size` is
    /// in bytes, `keep` how long an unused artifact stays, `wait` how long a build waits for its turn.
    pub fn change(&self, compiler: Compiler, size: u64, keep: Duration, wait: Duration) {
        self.programs.set_compiler(compiler);
        self.store.set_bounds(size, keep);
        *self.wait.lock() = wait;
    }

    /// What runs a call: its function's program, if the call has a function form, or one of its own. `bust` compiles it
    /// anew.
    pub async fn find(
        self: &Arc<Self>,
        wanted: &BuildRequest,
        bust: bool,
    ) -> Result<Built, Arc<BuildError>> {
        if let Some(function) = self.function_of(wanted) {
            let (arguments, name) = (function.encode(), Some(key::name(&function, wanted)));
            if let Some(artifact) = self.fly(wanted, ProgramPlan::Function(function), bust).await? {
                return Ok(Built { artifact, arguments, name });
            }
        }
        self.exact(wanted, bust).await
    }

    /// The artifact of the call as it stands, after its function's program could not represent the arguments. That is
    /// remembered.
    pub async fn find_exact(
        self: &Arc<Self>,
        wanted: &BuildRequest,
        bust: bool,
    ) -> Result<Built, Arc<BuildError>> {
        self.unrepresentable.put(&self.key(wanted, &ProgramPlan::Exact), ());
        self.exact(wanted, bust).await
    }

    async fn exact(
        self: &Arc<Self>,
        wanted: &BuildRequest,
        bust: bool,
    ) -> Result<Built, Arc<BuildError>> {
        let known = !bust && self.store.has(&self.key(wanted, &ProgramPlan::Exact));
        let found = self.fly(wanted, ProgramPlan::Exact, bust).await?;
        let broken = || Arc::new(BuildError::Broke("the call was not compiled".into()));
        let artifact = found.ok_or_else(broken)?;
        let name = known.then(|| wanted.call.text().to_owned());
        Ok(Built { artifact, arguments: Vec::new(), name })
    }

    /// The function form of a call, unless it is known not to fit.
    fn function_of(&self, wanted: &BuildRequest) -> Option<FunctionForm> {
        let known =
            wanted.call.qualifier().is_none_or(|name| name == wanted.checkout.package_name());
        let function = wanted.call.function_form().filter(|_| known)?;
        let unfit = self.unrepresentable.get(&self.key(wanted, &ProgramPlan::Exact)).is_some();
        (!unfit && self.programs.may_take(wanted, &function)).then_some(function)
    }

    /// The artifact of a plan: a known one, or the result of one flight. None if there is no such function form.
    async fn fly(
        self: &Arc<Self>,
        wanted: &BuildRequest,
        plan: ProgramPlan,
        bust: bool,
    ) -> Result<Option<Arc<Artifact>>, Arc<BuildError>> {
        let key = self.key(wanted, &plan);
        if !bust && let Some(answer) = self.answer(&key) {
            // That there is no such form is no answer to a call: the other form is looked up next.
            if !matches!(answer, Ok(None)) {
                self.metrics.looked_up(Cache::Artifacts, true);
            }
            return answer;
        }
        self.metrics.looked_up(Cache::Artifacts, false);
        let (me, wanted) = (self.clone(), wanted.clone());
        let flight = self.flights.join((key.clone(), bust), || async move {
            // Another flight may have landed between the look above and this one's start.
            if let Some(answer) = me.answer(&key).filter(|_| !bust) {
                return answer;
            }
            let built = me.build(&key, &wanted, &plan).await.map_err(Arc::new);
            me.remember(&key, &built);
            built
        });
        flight.await.unwrap_or_else(|lost| Err(Arc::new(BuildError::Broke(lost.to_string()))))
    }

    /// What is known without compiling.
    fn answer(&self, key: &str) -> Option<Result<Option<Arc<Artifact>>, Arc<BuildError>>> {
        if let Some(artifact) = self.known(key) {
            return Some(Ok(Some(artifact)));
        }
        if self.formless.get(key).is_some() {
            return Some(Ok(None));
        }
        self.refusals.get(key).map(Err)
    }

    /// Remembers what would come out the same again: not what the host's state or load had a part in.
    fn remember(&self, key: &str, built: &Result<Option<Arc<Artifact>>, Arc<BuildError>>) {
        self.refusals.forget(key);
        self.formless.forget(key);
        match built {
            Ok(Some(_)) => {}
            Ok(None) => self.formless.put(key, ()),
            Err(error) => {
                if matches!(**error, BuildError::Refused(..) | BuildError::Qualifier { .. }) {
                    self.refusals.put(key, error.clone());
                }
            }
        }
    }

    /// Everything that the bytes of an artifact depend on.
    fn key(&self, wanted: &BuildRequest, plan: &ProgramPlan) -> String {
        key::of(wanted, plan, self.programs.compiler().toolchain.version())
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

    /// Compiles a plan; none if there is no such function form.
    async fn build(
        &self,
        key: &str,
        wanted: &BuildRequest,
        plan: &ProgramPlan,
    ) -> Result<Option<Arc<Artifact>>, BuildError> {
        let BuildRequest { checkout, call, .. } = wanted;
        if let Some(found) = call.qualifier()
            && found != checkout.package_name()
        {
            let name = checkout.package_name().to_owned();
            return Err(BuildError::Qualifier { found: found.to_owned(), name });
        }
        let about = About {
            package: checkout.import_path().to_string(),
            revision: checkout.revision().to_string(),
            call: plan.text(call).to_owned(),
        };
        let layers = self.cache.layers(&self.programs.compiler()).await?;
        let mut layers: Vec<_> = layers.iter().map(|entry| entry.path().join("upper")).collect();
        // The first build of a checkout fills its own layer, which one build at a time may write; the later ones only
        // read it. Where nothing can be laid over it, all of them write it, one after the other.
        let layered = self.programs.compiler().layering() != Layering::None;
        let sealed = || layered && checkout.is_sealed();
        let wait = *self.wait.lock();
        let alone = match sealed() {
            true => None,
            false => {
                Some(timeout(wait, checkout.building.lock()).await.map_err(|_| BuildError::Busy)?)
            }
        };
        let permit = timeout(wait, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(BuildError::Busy) };
        let own = checkout.build_cache();
        if sealed() {
            drop(alone);
            layers.insert(0, own.join("upper"));
            let ran = self.compile(wanted, plan, &layers, None).await?;
            return ran.map(|ran| self.keep(key, &ran.program, &about)).transpose();
        }
        let mut result = self.compile(wanted, plan, &layers, Some(&own)).await;
        if matches!(result, Err(BuildError::Size)) {
            self.programs.compiler().empty_cache(checkout).map_err(BuildError::Disk)?;
            // Where all builds of a checkout write one layer, it may have been the earlier ones.
            if !layered {
                result = self.compile(wanted, plan, &layers, Some(&own)).await;
            }
        }
        let Some(ran) = result? else { return Ok(None) };
        if layered {
            gocache::seal(own.join("upper")).await?;
            checkout.seal().map_err(BuildError::Disk)?;
        }
        self.keep(key, &ran.program, &about).map(Some)
    }

    async fn compile(
        &self,
        wanted: &BuildRequest,
        plan: &ProgramPlan,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Option<BuildOutput>, BuildError> {
        let began = Instant::now();
        let compiled = self.programs.compile(wanted, plan, layers, cache).await;
        self.metrics.built(began.elapsed());
        compiled
    }

    fn keep(&self, key: &str, program: &Path, about: &About) -> Result<Arc<Artifact>, BuildError> {
        let scratch = self.programs.compiler().trash.scratch().map_err(BuildError::Disk)?;
        artifact::adopt(program, scratch.path(), about).map_err(BuildError::Disk)?;
        let entry = self.store.publish(key, scratch)?;
        let artifact = Arc::new(Artifact::open(entry).map_err(BuildError::Disk)?);
        Ok(self.keep_open(key, artifact))
    }

    /// All artifacts. Reads the disk.
    pub fn cached(&self) -> Vec<CachedProgram> {
        let cached = |(key, entry): (String, Arc<Entry>)| CachedProgram {
            about: artifact::about(entry.path()),
            facts: entry.facts(&key),
        };
        self.store.all().into_iter().map(cached).collect()
    }

    /// Lets go of an artifact, which stays on disk for those who use it. Whether there was one.
    pub fn forget(&self, key: &str) -> bool {
        let found = self.store.remove(key);
        drop(self.open.lock().remove(key));
        found
    }

    /// Compiles the standard library ahead of its use.
    pub async fn warm(&self) -> Result<(), BuildError> {
        self.cache.warm(&self.programs.compiler()).await
    }

    /// Lets go of what is too old or too much. Reads the disk.
    pub fn purge(&self) -> u64 {
        let remaining = self.store.purge();
        let mut open = self.open.lock();
        let gone: Vec<_> = open.extract_if(|key, _| !self.store.has(key)).collect();
        drop(open);
        // The last user of an artifact throws it away, which nobody's call is to wait for.
        drop(gone);
        remaining
    }
}
