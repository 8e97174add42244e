//! The artifacts of this server: compiled once for all calls that need them, and kept.

use std::sync::Arc;
use std::time::Duration;

use common::fair::{FairSlots, Shares};
use common::single_flight::SingleFlight;
use goexpr::FunctionForm;
use parking_lot::Mutex;

use super::artifacts::Artifacts;
use super::compiler::Compiler;
use super::error::BuildError;
use super::program::Programs;
use super::request::ProgramPlan;
use super::ttl_cache::TtlCache;
use crate::blocking::blocking;
use crate::compile::artifact::Artifact;
use crate::compile::artifacts::CachedProgram;
use crate::compile::gocache::GoCache;
use crate::compile::key;
use crate::compile::request::BuildRequest;
use crate::metrics::{Cache, Metrics};
use crate::principal::Client;
use crate::source::ImportPath;
use crate::store::Store;

mod build;

/// Refusals that are kept, so that a broken call in a loop does not compile in a loop; and for how
/// long.
const REFUSALS: usize = 1024;
const REFUSAL_AGE: Duration = Duration::from_secs(60);
/// Functions that are known to have no function form, and calls that do not fit the form of their
/// function.
const FUNCTIONS: usize = 4096;
/// A fact about a checkout never changes; the age only frees the memory of functions that are not
/// called any more.
const FUNCTION_AGE: Duration = Duration::from_secs(24 * 3600);

/// What a [`Builder`] needs besides a compiler and its cache.
pub struct BuilderOptions {
    /// Where artifacts are kept.
    pub store: Store,
    /// Builds at once.
    pub builds: Shares,
    /// How long a build waits for its turn.
    pub wait: Duration,
}

type Outcome = Result<Option<Arc<Artifact>>, Arc<BuildError>>;

/// Finds and compiles artifacts.
pub struct Builder {
    programs: Programs,
    cache: GoCache,
    artifacts: Arc<Artifacts>,
    running: SingleFlight<(String, bool), Outcome>,
    refusals: TtlCache<Arc<BuildError>>,
    /// Functions that have no function form.
    formless: TtlCache<()>,
    /// Calls whose arguments their functions' programs cannot represent.
    unrepresentable: TtlCache<()>,
    slots: FairSlots<Client, ImportPath>,
    wait: Mutex<Duration>,
    metrics: Metrics,
}

/// What runs a call.
#[derive(Clone)]
pub struct Built {
    /// The program.
    pub artifact: Arc<Artifact>,
    /// The arguments for the call channel; empty for a program that has its arguments compiled in.
    pub arguments: Vec<u8>,
    /// Tells the program from others of its package, whatever its revision; none for a program of a
    /// call that may never come again.
    pub name: Option<String>,
}

impl Builder {
    /// A builder whose artifacts lie in a store.
    pub fn new(compiler: Compiler, cache: GoCache, options: BuilderOptions) -> Self {
        Self {
            programs: Programs::new(compiler),
            cache,
            artifacts: Arc::new(Artifacts::new(options.store)),
            running: SingleFlight::default(),
            refusals: TtlCache::new(REFUSALS, REFUSAL_AGE),
            formless: TtlCache::new(FUNCTIONS, FUNCTION_AGE),
            unrepresentable: TtlCache::new(FUNCTIONS, FUNCTION_AGE),
            slots: FairSlots::new(options.builds),
            wait: Mutex::new(options.wait),
            metrics: Metrics::default(),
        }
    }

    /// Counts look-ups and compilations in these metrics.
    pub fn counted(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Changes the compiler and the bounds, from the next build and purge on. `size` is in bytes,
    /// `keep` how long an unused artifact stays, `wait` how long a build waits for its turn.
    pub fn change(&self, compiler: Compiler, size: u64, keep: Duration, wait: Duration) {
        self.programs.set_compiler(compiler);
        self.artifacts.set_bounds(size, keep);
        *self.wait.lock() = wait;
    }

    /// The compiler, the bounds of the store and the longest wait for a turn, as the next build and
    /// purge have them.
    #[cfg(test)]
    pub(crate) fn in_force(&self) -> (Arc<Compiler>, (u64, Duration), Duration) {
        (self.programs.compiler(), self.artifacts.bounds(), *self.wait.lock())
    }

    /// What runs a call: its function's program, if the call has a function form, or a program of
    /// its own. `bust` compiles anew.
    pub async fn find(
        self: &Arc<Self>,
        client: Client,
        request: &BuildRequest,
        bust: bool,
    ) -> Result<Built, Arc<BuildError>> {
        if let Some(function) = self.function_of(request) {
            let (arguments, name) = (function.encode(), Some(key::name(&function, request)));
            let plan = ProgramPlan::Function(function);
            if let Some((artifact, _)) = self.artifact(client, request, plan, bust).await? {
                return Ok(Built { artifact, arguments, name });
            }
        }
        self.exact(client, request, bust).await
    }

    /// The program of the call as it stands, after its function's program could not represent the
    /// arguments. Later calls with these arguments use it at once.
    pub async fn find_exact(
        self: &Arc<Self>,
        client: Client,
        request: &BuildRequest,
        bust: bool,
    ) -> Result<Built, Arc<BuildError>> {
        self.unrepresentable.put(&self.key(request, &ProgramPlan::Exact), ());
        self.exact(client, request, bust).await
    }

    async fn exact(
        self: &Arc<Self>,
        client: Client,
        request: &BuildRequest,
        bust: bool,
    ) -> Result<Built, Arc<BuildError>> {
        let found = self.artifact(client, request, ProgramPlan::Exact, bust).await?;
        let broken = || Arc::new(BuildError::Broke("the call was not compiled".into()));
        let (artifact, cached) = found.ok_or_else(broken)?;
        let name = cached.then(|| request.call.text().to_owned());
        Ok(Built { artifact, arguments: Vec::new(), name })
    }

    /// The function form of a call, unless the call is known not to fit it.
    fn function_of(&self, request: &BuildRequest) -> Option<FunctionForm> {
        let known =
            request.call.qualifier().is_none_or(|name| name == request.checkout.package_name());
        let function = request.call.function_form().filter(|_| known)?;
        let unfit = self.unrepresentable.get(&self.key(request, &ProgramPlan::Exact)).is_some();
        (!unfit && self.programs.may_take(request, &function)).then_some(function)
    }

    /// The artifact of a plan, and whether it was in the cache. None if there is no such function
    /// form.
    async fn artifact(
        self: &Arc<Self>,
        client: Client,
        request: &BuildRequest,
        plan: ProgramPlan,
        bust: bool,
    ) -> Result<Option<(Arc<Artifact>, bool)>, Arc<BuildError>> {
        let key = self.key(request, &plan);
        if !bust && let Some(outcome) = self.find_cached(&key).await {
            // A plan without a function form answers no call: the exact plan is looked up next.
            if !matches!(outcome, Ok(None)) {
                self.metrics.looked_up(Cache::Artifacts, true);
            }
            return Ok(outcome?.map(|artifact| (artifact, true)));
        }
        self.metrics.looked_up(Cache::Artifacts, false);
        let (me, request) = (self.clone(), request.clone());
        let running = self.running.join((key.clone(), bust), || async move {
            // Another build may have ended between the look-up above and this one's start.
            if let Some(outcome) = me.cached_in_memory(&key).filter(|_| !bust) {
                return outcome;
            }
            let built = me.build(client, &key, &request, &plan).await.map_err(Arc::new);
            me.note(&key, &built);
            built
        });
        let lost = |error: common::single_flight::Lost| {
            Err(Arc::new(BuildError::Broke(error.to_string())))
        };
        Ok(running.await.unwrap_or_else(lost)?.map(|artifact| (artifact, false)))
    }

    /// What is known without compiling and without the disk.
    fn cached_in_memory(&self, key: &str) -> Option<Outcome> {
        if let Some(artifact) = self.artifacts.get_in_memory(key) {
            return Some(Ok(Some(artifact)));
        }
        if self.formless.get(key).is_some() {
            return Some(Ok(None));
        }
        self.refusals.get(key).map(Err)
    }

    /// What is known without compiling.
    async fn find_cached(&self, key: &str) -> Option<Outcome> {
        if let Some(outcome) = self.cached_in_memory(key) {
            return Some(outcome);
        }
        let (artifacts, key) = (self.artifacts.clone(), key.to_owned());
        match blocking(move || artifacts.get(&key)).await {
            Ok(artifact) => artifact.map(|artifact| Ok(Some(artifact))),
            Err(error) => Some(Err(Arc::new(error.into()))),
        }
    }

    /// Keeps what another build would end with as well, unlike errors of the host or its load. What
    /// takes a build to its limits is kept too, so that it does not take a slot each time.
    fn note(&self, key: &str, built: &Outcome) {
        self.refusals.forget(key);
        self.formless.forget(key);
        match built {
            Ok(Some(_)) => {}
            Ok(None) => self.formless.put(key, ()),
            Err(error) => {
                if error.is_of_the_source() {
                    self.refusals.put(key, error.clone());
                }
            }
        }
    }

    /// Everything that the bytes of an artifact depend on.
    fn key(&self, request: &BuildRequest, plan: &ProgramPlan) -> String {
        key::of(request, plan, self.programs.compiler().toolchain.version())
    }

    /// All artifacts. Reads the disk.
    pub fn cached(&self) -> Vec<CachedProgram> {
        self.artifacts.list()
    }

    /// Has calls whose builds failed be built again.
    pub fn forget_failures(&self) {
        self.refusals.forget_all();
    }

    /// Removes an artifact, which stays on disk as long as it is in use. Whether there was one.
    pub fn forget(&self, key: &str) -> bool {
        self.artifacts.remove(key)
    }

    /// Compiles the standard library ahead of its use.
    pub async fn warm(&self) -> Result<(), BuildError> {
        self.cache.warm(&self.programs.compiler()).await
    }

    /// Removes artifacts that are too old or too much. Returns the bytes that remain. Reads the
    /// disk.
    pub fn purge(&self) -> u64 {
        self.artifacts.purge()
    }

    /// Returns when everything that was built is on the disk.
    pub fn settle(&self) {
        self.artifacts.settle();
        self.cache.settle();
    }
}
