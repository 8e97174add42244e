//! Figure 9: what a client has of the server while another one takes all that it can get.
//!
//! The greedy client has many connections from an address of its own. On half of them its calls
//! sleep until shortly before their deadline; on the others each calls a module that was never
//! seen, which takes a fetch and a build.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{self, Client, exchange};
use crate::first::{ALONE, fresh};
use crate::report::{Goal, Row, Unit};
use crate::world::{Absent, MODULE, World, call};

/// The connections of the greedy client.
const CONNECTIONS: usize = 200;
/// The modules that it calls, one after the other.
const MODULES: usize = 150;
/// Its call that sleeps: the deadline of a call is five seconds.
const NAP: &str = "Nap(4500)";
/// Where it comes from; the other client has 127.0.0.1.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How long it is alone with the server before the other one comes.
const HEAD_START: Duration = Duration::from_secs(3);
/// The cached calls of the ordinary client, and the pause between two.
const CALLS: usize = 200;
const PAUSE: Duration = Duration::from_millis(20);
/// Its modules that were never seen.
const BUILDS: usize = 4;

/// An ordinary client beside a greedy one, and alone.
pub(crate) fn beside_a_greedy_client(world: &World) -> Result<Vec<Row>, Absent> {
    std::net::TcpListener::bind((ADDRESS, 0))
        .map_err(|e| Absent::Skipped(format!("{ADDRESS} cannot be used here: {e}")))?;
    let folder = world.folder("greedy")?;
    let told = |e: std::io::Error| e.to_string();
    std::fs::copy(crate::world::track().join("track.go"), folder.join("track.go")).map_err(told)?;
    // Their numbers are beyond those of figure 5.
    let first = 2 * world.settings.builds;
    let module = |number| fresh(world, &ALONE, &folder, first + number);
    let own = (0..2 * BUILDS).map(module).collect::<Result<Vec<_>, _>>()?;
    let modules = (2 * BUILDS..2 * BUILDS + MODULES).map(module).collect::<Result<Vec<_>, _>>()?;
    let server = world.start("greedy-server")?;
    let alone = Ordinary::measure(server.client()?, &own[..BUILDS])?;
    let greedy = GreedyClient::start(server.address, modules)?;
    thread::sleep(HEAD_START);
    let beside = Ordinary::measure(server.client()?, &own[BUILDS..]);
    let answered = greedy.stop();
    let beside = beside?;
    server.stop()?;
    let median = |most| Goal::AtMost { median: most, p99: None };
    let row = |name: &str, ours: &[Duration], alone: &[Duration], most| {
        let name = format!("{name}, beside a greedy client");
        Row::times(9, name, ours, ("alone", alone), median(most))
    };
    let failed = vec![beside.failures as f64];
    let name = "its calls that were refused or failed";
    Ok(vec![
        row("cached call", &beside.calls, &alone.calls, 3.0),
        Row::values(9, name, Unit::Count, failed, Goal::Below(1.0))
            .note(format!("the greedy client had {answered} answers")),
        row("first call of a module", &beside.builds, &alone.builds, 3.0),
    ])
}

/// What an ordinary client saw.
#[derive(Default)]
struct Ordinary {
    calls: Vec<Duration>,
    builds: Vec<Duration>,
    failures: usize,
}

impl Ordinary {
    fn measure(mut client: Client, modules: &[String]) -> Result<Self, String> {
        let (mut seen, cached) = (Self::default(), call());
        for _ in 0..CALLS {
            match client.call(&cached) {
                Ok(time) => seen.calls.push(time),
                Err(_) => seen.failures += 1,
            }
            thread::sleep(PAUSE);
        }
        for module in modules {
            match client.call(&client::request(module, "Encode(48.8, 2.2)")) {
                Ok(time) => seen.builds.push(time),
                Err(_) => seen.failures += 1,
            }
        }
        match seen.calls.is_empty() || seen.builds.is_empty() {
            true => Err(format!("not one was answered; the last answer: {}", client.answer())),
            false => Ok(seen),
        }
    }
}

/// The greedy client, in a thread of its own.
struct GreedyClient {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl GreedyClient {
    fn start(address: SocketAddr, modules: Vec<String>) -> Result<Self, String> {
        let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("no loop for the greedy client: {e}"))?;
        let (over, count) = (is_over.clone(), answered.clone());
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let (modules, next) = (Arc::new(modules), Arc::<AtomicUsize>::default());
                let mut tasks = tokio::task::JoinSet::new();
                for number in 0..CONNECTIONS {
                    let builds = (number % 2 == 1).then(|| (modules.clone(), next.clone()));
                    tasks.spawn(one(address, builds, count.clone()));
                }
                while !over.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        Ok(Self { is_over, answered, thread })
    }

    /// Ends it; answers how many answers it had.
    fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.answered.load(Ordering::Relaxed)
    }
}

type Modules = (Arc<Vec<String>>, Arc<AtomicUsize>);

/// One connection, which is opened again when the server closes it.
async fn one(address: SocketAddr, modules: Option<Modules>, answered: Arc<AtomicU64>) {
    let mut buffer = Vec::new();
    loop {
        let Ok(mut stream) = connect(address).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        loop {
            let request = match &modules {
                None => client::request(MODULE, NAP),
                Some((all, next)) => {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    client::request(&all[number % all.len()], "Encode(48.8, 2.2)")
                }
            };
            let began = Instant::now();
            if exchange(&mut stream, &request, &mut buffer).await.is_err() {
                break;
            }
            answered.fetch_add(1, Ordering::Relaxed);
            // It does not heed Retry-After, but it does not only spin either.
            if began.elapsed() < Duration::from_millis(5) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind((ADDRESS, 0).into())?;
    socket.connect(address).await
}
