//! The warm pool on a backend without an operating system, with a clock that the tests move.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

use crate::backend::{
    Backend, BoxFuture, Capabilities, Exit, Finding, FolderOwner, LiveIsland, StartError, Started,
    Stdio, Usage,
};
use crate::id::IslandId;
use crate::pool::function::Function;
use crate::pool::policy::PoolLimits;
use crate::pool::warm::WarmPool;
use crate::registry::table::IslandState;
use crate::run::islands::Islands;
use crate::spec::{Bounds, Limits, Purpose, Resources, Spec};

const SECOND: Duration = Duration::from_secs(1);
/// How long the fake backend needs to say what islands use.
const USAGE_TIME: Duration = Duration::from_millis(300);

/// What the programs of a [`FakeBackend`] do.
#[derive(Clone, Copy)]
enum Behavior {
    NeverReady,
    ReadyAfter(Duration),
    ExitAfter(Duration),
    /// The first program is ready and exits after this time without a call; all others answer.
    FirstExitsAfter(Duration),
}

struct FakeBackend {
    behavior: Behavior,
    started: AtomicUsize,
    alive: Arc<Mutex<HashMap<IslandId, oneshot::Sender<()>>>>,
    usage: Usage,
    /// How often the pool has asked for it.
    looks: AtomicUsize,
}

const EXIT: Exit = Exit { code: Some(0), signal: None, oom: false };

async fn behave(behavior: Behavior, number: usize, stdio: Stdio, killed: oneshot::Receiver<()>) {
    let channel = UnixStream::from(stdio.arguments.expect("a function has a call channel"));
    let work = async {
        match behavior {
            Behavior::NeverReady => {}
            Behavior::ExitAfter(time) => return sleep(time).await,
            Behavior::ReadyAfter(time) => {
                sleep(time).await;
                (&channel).write_all(b"r").expect("the pool listens");
            }
            Behavior::FirstExitsAfter(time) => {
                (&channel).write_all(b"r").expect("the pool listens");
                match number {
                    0 => sleep(time).await,
                    _ => answer(&channel).await,
                }
                return;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        () = work => {}
        _ = killed => {}
    }
}

/// Takes the arguments of one call and answers it.
async fn answer(channel: &UnixStream) {
    channel.set_nonblocking(true).expect("a socket");
    let channel = channel.try_clone().expect("a descriptor");
    let mut channel = tokio::net::UnixStream::from_std(channel).expect("a runtime");
    let length = channel.read_u32_le().await.expect("a length");
    let mut arguments = vec![0; length as usize];
    channel.read_exact(&mut arguments).await.expect("arguments");
    tokio::io::AsyncWriteExt::write_all(&mut channel, b"d").await.expect("the pool listens");
}

impl Backend for FakeBackend {
    fn start<'a>(
        &'a self,
        _: &'a Spec,
        stdio: Stdio,
    ) -> BoxFuture<'a, Result<Started, StartError>> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let id = IslandId::mint();
        let (kill, killed) = oneshot::channel();
        self.alive.lock().insert(id.clone(), kill);
        let (alive, behavior) = (self.alive.clone(), self.behavior);
        let name = id.clone();
        let process = tokio::spawn(async move {
            behave(behavior, number, stdio, killed).await;
            alive.lock().remove(&name);
        });
        let exit = Box::pin(async move {
            process.await.expect("no panic");
            Ok(EXIT)
        });
        Box::pin(std::future::ready(Ok(Started { id, exit })))
    }

    fn kill(&self, id: &IslandId) {
        self.alive.lock().remove(id);
    }

    fn list(&self) -> Vec<IslandId> {
        self.alive.lock().keys().cloned().collect()
    }

    fn seen(&self) -> BoxFuture<'_, Result<Vec<LiveIsland>, StartError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn aside(&self) -> Vec<(IslandId, IslandState)> {
        Vec::new()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            overlays: false,
            addresses: Ok(()),
            usage: true,
            ahead: Ok(()),
            gates: false,
        }
    }

    fn owner(&self, _: Purpose) -> Option<FolderOwner> {
        None
    }

    fn usage<'a>(&'a self, islands: &'a [IslandId]) -> BoxFuture<'a, HashMap<IslandId, Usage>> {
        Box::pin(async move {
            self.looks.fetch_add(1, Ordering::Relaxed);
            sleep(USAGE_TIME).await;
            islands.iter().map(|id| (id.clone(), self.usage)).collect()
        })
    }

    fn free_memory(&self) -> Option<f64> {
        None
    }

    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn pool(behavior: Behavior, memory: u64) -> (Arc<FakeBackend>, WarmPool) {
    let usage = Usage { memory: 600 << 10, processor: Duration::ZERO };
    let (started, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let backend = Arc::new(FakeBackend { behavior, started, alive: Arc::default(), usage, looks });
    let limits = PoolLimits { per_function: 1, total: 64, memory, idle: 600 * SECOND };
    (backend.clone(), WarmPool::new(Islands::new(backend), limits))
}

fn function(name: &str) -> (Function, Spec) {
    let resources =
        Resources { memory: 256 << 20, processes: 1, processor_time: None, tmp: 1, disk: None };
    let bounds = Bounds { deadline: 600 * SECOND, output: 1 };
    let program = Arc::new(std::fs::File::open("/dev/null").unwrap());
    let spec = Spec::function(program, Limits { resources, bounds });
    (Function { name: name.to_owned(), artifact: name.to_owned() }, spec)
}

/// Asks for a warm island of a function, in the background.
fn ask(pool: &WarmPool, name: &str) {
    let (pool, (function, spec)) = (pool.clone(), function(name));
    tokio::spawn(async move { pool.warm(&function, &spec).await });
}

#[tokio::test(start_paused = true)]
async fn an_init_that_does_not_end_keeps_other_functions_from_starting_only_for_a_moment() {
    let (backend, pool) = pool(Behavior::NeverReady, u64::MAX);
    let functions = 2 * std::thread::available_parallelism().unwrap().get();
    (0..functions).for_each(|number| ask(&pool, &number.to_string()));
    sleep(3 * SECOND).await;
    assert_eq!(backend.started.load(Ordering::Relaxed), functions);
}

#[tokio::test(start_paused = true)]
async fn an_island_whose_init_takes_long_is_warm_in_the_end() {
    let (_, pool) = pool(Behavior::ReadyAfter(15 * SECOND), u64::MAX);
    ask(&pool, "f");
    sleep(14 * SECOND).await;
    assert_eq!(pool.islands().states()[&IslandState::Warm], 0);
    sleep(2 * SECOND).await;
    assert_eq!(pool.islands().states()[&IslandState::Warm], 1);
}

#[tokio::test(start_paused = true)]
async fn an_island_counts_with_the_memory_that_it_uses_from_its_start_on() {
    let (backend, pool) = pool(Behavior::NeverReady, 16 << 20);
    ask(&pool, "f");
    // The pool asks for the usage of the first island just before the second one starts.
    sleep(SECOND + USAGE_TIME / 2).await;
    ask(&pool, "g");
    sleep(5 * SECOND).await;
    // Neither had to make room for the other.
    assert_eq!((backend.started.load(Ordering::Relaxed), pool.count()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn islands_that_only_wait_are_looked_at_less_often() {
    let (backend, pool) = pool(Behavior::ReadyAfter(SECOND), u64::MAX);
    ask(&pool, "f");
    let looks = || backend.looks.load(Ordering::Relaxed);
    sleep(6 * SECOND).await;
    let first = looks();
    assert!(first >= 4, "{first}");
    sleep(60 * SECOND).await;
    let later = looks() - first;
    assert!((10..20).contains(&later), "{later} looks in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_rested_is_tried_again_and_the_log_says_once_that_it_rests() {
    let (log, lines) = WarningLog::new();
    let _log = tracing::subscriber::set_default(log);
    let (backend, pool) = pool(Behavior::ExitAfter(SECOND * 3 / 10), u64::MAX);
    for _ in 0..5 {
        ask(&pool, "f");
        sleep(SECOND * 5 / 2).await;
    }
    let expected =
        "warm pool disabled for 60 s: the function exits or uses the processor while idle";
    let rests = || lines.lock().iter().filter(|line| *line == expected).count();
    assert_eq!((backend.started.load(Ordering::Relaxed), rests()), (3, 1));
    sleep(61 * SECOND).await;
    ask(&pool, "f");
    sleep(SECOND).await;
    assert_eq!((backend.started.load(Ordering::Relaxed), rests()), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn an_island_that_takes_the_place_of_one_that_died_is_replaced_too() {
    let (backend, pool) = pool(Behavior::FirstExitsAfter(SECOND), u64::MAX);
    let (function, mut spec) = function("f");
    spec.arguments = Some(vec![1, 2, 3]);
    assert_eq!(pool.warm(&function, &spec).await, 1);
    sleep(SECOND - Duration::from_millis(20)).await;
    // The island takes the call and exits without reading it, when its replacement is there.
    let turn = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let outcome = pool.call(Some(&function), &spec, turn).await.unwrap();
    assert!(outcome.warm);
    sleep(SECOND).await;
    assert_eq!((backend.started.load(Ordering::Relaxed), pool.ready(&function)), (3, 1));
}

/// Keeps the messages of warnings.
struct WarningLog(Arc<Mutex<Vec<String>>>);

impl WarningLog {
    fn new() -> (Self, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        (Self(lines.clone()), lines)
    }
}

struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl tracing::Subscriber for WarningLog {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().push(message.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
