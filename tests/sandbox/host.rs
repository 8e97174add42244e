//! What a test runs on: a backend, of its process or of its own, and islands on it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use host::net::Pools;
use island::{
    Backend, Bounds, Function, Islands, Limits, Options, Outcome, PoolLimits, Resources, Rights,
    Spec, StartError, WarmPool, ZygoteReuse, choose,
};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use super::again::{self, Turn, Variant, name_of};
use super::kit::{LAUNCHER, PROGRAM, ZONES, kit};
use super::platform;
use crate::skip::{self, Reason, skip};

/// How many times slower than a processor of today this one is: an emulated one. Waits, and the
/// deadlines of deeds that have none to meet, are as many times longer.
const SLOWNESS: &str = "SKY_ISLAND_TEST_SLOWNESS";

/// A time, as long as it has to be on this machine.
pub fn here(time: Duration) -> Duration {
    let factor = std::env::var(SLOWNESS).map(|text| text.parse::<u32>().expect("a whole number"));
    time * factor.unwrap_or(1)
}

/// Everything that a test needs to run islands.
pub struct Host {
    pub islands: Islands,
    pub backend: Arc<dyn Backend>,
    pub runtime: tokio::runtime::Runtime,
    /// The addresses that the backend can put in place.
    #[cfg_attr(not(target_os = "freebsd"), allow(dead_code))]
    pub pools: Pools,
    program: Arc<File>,
    /// Where this process's functions are called on warm islands.
    warm_pool: Option<WarmPool>,
}

/// Says something past the capture of the test's output, so that it is seen when the test passes as
/// well.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Skips what this host, for this user, cannot give: the backend has found so, or the system is
/// made so.
pub fn not_given(promise: &str, why: impl std::fmt::Display) {
    skip(given_to_whom(promise), &Reason::impossible(why));
}

/// Skips what this host could give if something were installed.
pub fn not_installed(promise: &str, why: impl std::fmt::Display) {
    skip(given_to_whom(promise), &Reason::fixable(why));
}

fn given_to_whom(promise: &str) -> String {
    format!("to user {}, {promise}", nix::unistd::geteuid())
}

/// A backend that tests share, of one kind of islands, or why there is none.
struct Shared {
    warm: bool,
    host: Result<Host, Reason>,
}

impl Shared {
    fn start(warm: bool) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            again::at_exit(|| {
                SHARED.write().take().into_iter().for_each(|shared| shared.close());
            });
        });
        let host = Host::try_start(0);
        Self { warm, host: if warm { host.map(Host::with_warm_pool) } else { host } }
    }

    fn close(&self) {
        self.host.iter().for_each(Host::close);
    }
}

/// The backend that the tests of this process share. There is one at a time, for a test holds the
/// lock while it runs.
static SHARED: RwLock<Option<Shared>> = RwLock::new(None);

/// Runs a test of one promise on the backend that the tests of its variant share, or as the
/// variant's user.
pub fn promise<F: FnOnce(&Host)>(test: F) {
    let name = name_of(std::any::type_name::<F>());
    let warm = Variant::of(name).is_warm();
    match Turn::of(name) {
        Turn::Here => {}
        Turn::Elsewhere => return in_own_process(name),
        Turn::Skipped => return,
    }
    loop {
        let shared = SHARED.read();
        match &*shared {
            Some(Shared { warm: of, host }) if *of == warm => match host {
                Ok(host) => return test(host),
                Err(why) => return skip("any island at all", why),
            },
            _ => drop(shared),
        }
        let mut shared = SHARED.write();
        if shared.as_ref().is_none_or(|shared| shared.warm != warm) {
            shared.take().iter().for_each(Shared::close);
            *shared = Some(Shared::start(warm));
        }
    }
}

/// Runs a test in a process of its own, as its variant's user.
fn in_own_process(name: &str) {
    match kit() {
        Ok(_) => again::run_alone(name),
        Err(why) => skip("any island at all", why),
    }
}

/// Runs a test in a process of its own, which it can look at from outside: `name` is the test's,
/// after its modules'.
pub fn alone(name: &str, ahead: usize, test: impl FnOnce(&Host)) {
    alone_without_backend(name, || {
        if let Some(host) = Host::start(ahead) {
            test(&host);
            host.close();
        }
    });
}

/// The same, and the test makes its backends itself.
pub fn alone_without_backend(name: &str, test: impl FnOnce()) {
    let name = name_of(name);
    if again::is_alone(name) {
        return test();
    }
    if Turn::of(name) != Turn::Skipped {
        let _turn = platform::ONE_BACKEND_AT_A_TIME.then(give_way);
        in_own_process(name);
    }
}

/// Closes the backend of this process, and prevents another one until the guard goes.
fn give_way() -> impl Drop {
    let mut shared = SHARED.write();
    shared.take().iter().for_each(Shared::close);
    shared
}

/// What the backend is told, here and nowhere else. `platform` knows what else there is to tell of
/// a prepared host.
fn options(kit: &Path, ahead: usize, pools: Pools) -> Options {
    platform::options(Options {
        launcher: kit.join(LAUNCHER),
        zones: Some(kit.join(ZONES)).filter(|path| path.exists()),
        function: limits().resources,
        ahead,
        pools,
        jails: None,
        reuse: ZygoteReuse::WhenClean,
    })
}

impl Host {
    /// A backend of its own, or none, with the reason said.
    pub fn start(ahead: usize) -> Option<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self::start_on(builder.worker_threads(2), ahead)
    }

    /// The same, on the runtime that is described.
    pub fn start_on(runtime: &mut tokio::runtime::Builder, ahead: usize) -> Option<Self> {
        Self::start_with(runtime, ahead, Pools::default())
    }

    /// The same, with addresses to lend.
    pub fn start_with(
        runtime: &mut tokio::runtime::Builder,
        ahead: usize,
        pools: Pools,
    ) -> Option<Self> {
        let host = Self::try_start_with(runtime, ahead, pools);
        host.inspect_err(|why| skip("any island at all", why)).ok()
    }

    /// A backend whose zygotes serve one island each.
    #[cfg(target_os = "linux")]
    pub fn start_without_reuse(ahead: usize) -> Option<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let started = kit().map_err(Reason::clone).and_then(|kit| {
            let options = options(kit, ahead, Pools::default());
            let options = Options { reuse: ZygoteReuse::Never, ..options };
            Self::start_by(builder.worker_threads(2), options)
        });
        started.inspect_err(|why| skip("any island at all", why)).ok()
    }

    fn try_start(ahead: usize) -> Result<Self, Reason> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self::try_start_with(builder.worker_threads(2), ahead, Pools::default())
    }

    fn try_start_with(
        runtime: &mut tokio::runtime::Builder,
        ahead: usize,
        pools: Pools,
    ) -> Result<Self, Reason> {
        let kit = kit().map_err(Reason::clone)?;
        Self::start_by(runtime, options(kit, ahead, pools))
    }

    fn start_by(runtime: &mut tokio::runtime::Builder, options: Options) -> Result<Self, Reason> {
        let kit = kit().map_err(Reason::clone)?;
        let runtime = runtime.enable_all().build().expect("a runtime");
        let pools = options.pools.clone();
        let backend = match runtime.block_on(choose(options)) {
            Ok(backend) => backend,
            Err(error) => {
                assert!(!platform::must_start(), "the host is prepared, and yet: {error}");
                let findings = "`sky-island check` says what is missing";
                return Err(skip::islands(format_args!("{error}; {findings}")));
            }
        };
        let program = Arc::new(File::open(kit.join(PROGRAM)).expect("the program"));
        let islands = Islands::new(backend.clone());
        Ok(Self { islands, backend, runtime, pools, program, warm_pool: None })
    }

    /// The same, and functions are called on warm islands.
    pub fn with_warm_pool(mut self) -> Self {
        let islands = self.islands.clone();
        self.warm_pool =
            Some(self.runtime.block_on(async { WarmPool::new(islands, warm_limits()) }));
        self
    }

    /// Removes what the host made for this backend.
    pub fn close(&self) {
        if let Some(warm_pool) = &self.warm_pool {
            warm_pool.close();
        }
        self.runtime.block_on(self.backend.close());
    }

    pub fn has_zones(&self) -> bool {
        platform::has_zones(kit().is_ok_and(|kit| kit.join(ZONES).exists()))
    }

    /// Why this host does not give something, by the finding's name; none where it does.
    pub fn lacks(&self, finding: &str) -> Option<String> {
        let found = self.backend.findings().into_iter().find(|found| found.name == finding)?;
        found.remedy.as_ref()?;
        Some(found.detail)
    }

    /// A function's island whose program does this.
    pub fn function(&self, deed: &[&str]) -> Spec {
        let mut spec = Spec::function(self.program.clone(), limits());
        spec.args.extend(deed.iter().map(|text| (*text).to_owned()));
        spec
    }

    pub fn program(&self) -> Arc<File> {
        self.program.clone()
    }

    pub fn run(&self, spec: &Spec) -> Outcome {
        let run = async {
            match &self.warm_pool {
                Some(warm_pool) if is_plain_function(spec) => call(warm_pool, spec).await,
                _ => self.islands.run(spec).await,
            }
        };
        self.runtime.block_on(run).expect("the island starts")
    }

    /// Runs a deed to its good end and reads what it answers.
    pub fn ask<T: serde::de::DeserializeOwned>(&self, deed: &[&str]) -> T {
        read(&self.run(&self.function(deed)))
    }
}

/// How many warm islands there are while the suite runs.
pub fn warm_limits() -> PoolLimits {
    let idle = Duration::from_secs(60);
    PoolLimits { per_function: 2, total: 8, memory: 1 << 30, idle }
}

/// Whether an island could be warm for this: it has no address, and its program is the stranger's.
fn is_plain_function(spec: &Spec) -> bool {
    matches!(spec.setup.rights, Rights::Function)
        && spec.setup.address.is_none()
        && spec.stdin.is_empty()
}

/// The call that a stranger's program is given on its line, in place of its arguments.
pub fn called(spec: &Spec) -> (Function, Spec) {
    let mut spec = spec.clone();
    spec.arguments = Some(spec.args.split_off(1).join("\0").into_bytes());
    let artifact = format!("{:?} {:?} {:?}", spec.setup.resources, spec.env, spec.program);
    (Function { name: artifact.clone(), artifact }, spec)
}

/// Makes an island warm, and calls the function on it. The end is waited for, as the tests look
/// at what is left.
async fn call(warm_pool: &WarmPool, spec: &Spec) -> Result<Outcome, StartError> {
    let (function, spec) = called(spec);
    let ended = Arc::new(Semaphore::new(2));
    let hold = || async { ended.clone().acquire_owned().await.expect("it stays open") };
    let first = Spec { arguments: Some(b"exit\x000".to_vec()), ..spec.clone() };
    warm_pool.call(Some(&function), &first, hold().await).await?;
    let until = Instant::now() + here(Duration::from_secs(10));
    while warm_pool.ready(&function) == 0 {
        assert!(Instant::now() < until, "none is warm");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let outcome = warm_pool.call(Some(&function), &spec, hold().await).await;
    drop(ended.acquire_many(2).await);
    outcome
}

/// The answer of an island that ended well.
pub fn read<T: serde::de::DeserializeOwned>(outcome: &Outcome) -> T {
    assert_eq!(
        outcome.ending,
        island::Ending::Exited(0),
        "stderr: {}",
        String::from_utf8_lossy(&outcome.stderr)
    );
    serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&outcome.stdout));
    })
}

/// Limits under which an honest deed has room; a test narrows what it is about.
pub fn limits() -> Limits {
    let resources = Resources {
        memory: 192 << 20,
        processes: 32,
        processor_time: Some(here(platform::DEADLINE)),
        tmp: 8 << 20,
        disk: None,
    };
    let bounds = Bounds { deadline: here(platform::DEADLINE), output: 1 << 20 };
    Limits { resources, bounds }
}

/// Waits until something becomes true; what a host does in its own time has no moment to be
/// asserted at.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = here(platform::PATIENCE);
    let until = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < until, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
