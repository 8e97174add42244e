//! The server's side of one launcher: starts it, sends it requests, and tells each waiter when its island has ended.
//!
//! What must always hold: an id is in `waiting` exactly while its island may still run, and keeps the island's user for
//! as long; when the launcher is gone every waiter hears of it, and the next request starts another launcher.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::backend::{Exit, StartError};
use crate::id::IslandId;
use crate::launcher::uids::Uid;
use crate::launcher::wire::{self, Event, Incoming, Outgoing, Request};

/// How long a launcher may take to build its root.
const READY_WAIT: Duration = Duration::from_secs(10);
/// How long a launcher may take to say which islands it has.
const LIST_WAIT: Duration = Duration::from_secs(2);
/// How often, and after how long, a request is sent again that the system does not take for now.
const SEND_RETRIES: usize = 1000;
const SEND_RETRY: Duration = Duration::from_millis(1);
/// How long a launcher may take to end its islands when the server stops.
const END_WAIT: Duration = Duration::from_secs(5);

/// How a launcher is started.
pub(crate) struct LauncherConfig {
    /// Our own program, which is a launcher when it is told to be.
    program: PathBuf,
    orders: serde_json::Value,
}

impl LauncherConfig {
    /// A launcher that is given these orders.
    pub(crate) fn new(program: PathBuf, orders: &impl Serialize) -> Result<Self, StartError> {
        let orders = serde_json::to_value(orders).map_err(|e| StartError::Launcher(e.to_string()));
        Ok(Self { program, orders: orders? })
    }
}

/// An island that runs.
pub(crate) struct ListedIsland {
    pub(crate) id: IslandId,
    /// What the system knows it by.
    pub(crate) number: i32,
    /// When it was asked for.
    pub(crate) since: Instant,
    /// It was told to end.
    pub(crate) killed: bool,
}

/// A launcher.
pub(crate) struct LauncherClient {
    launch: LauncherConfig,
    /// Held while a launcher is being started.
    launching: Mutex<()>,
    state: Arc<Mutex<ClientState>>,
}

/// A request on its way.
struct Message {
    outgoing: Outgoing,
    /// What goes with it, open until it is sent.
    _fds: Vec<OwnedFd>,
}

impl Message {
    /// Fails for one that is too long.
    fn new<P: Serialize>(request: &Request<P>, fds: Vec<OwnedFd>) -> std::io::Result<Self> {
        let numbers: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        Ok(Self { outgoing: Outgoing::new(request, &numbers)?, _fds: fds })
    }
}

#[derive(Default)]
struct ClientState {
    /// None while there is no launcher. Bounded by the islands alive: each sends its start and at most a few kills.
    requests: Option<mpsc::UnboundedSender<Message>>,
    process: Option<Child>,
    /// The islands of the present launcher.
    waiting: HashMap<String, Waiter>,
    /// Those who have asked which islands there are, in their order; some may have given up.
    asked: VecDeque<oneshot::Sender<Vec<(String, i32)>>>,
    /// Counts the launchers.
    generation: u64,
    closed: bool,
}

/// Whoever wants to know of an island's end.
struct Waiter {
    sender: oneshot::Sender<Result<Exit, String>>,
    since: Instant,
    /// It was told to end.
    killed: bool,
    /// Not given to another island before this one has ended.
    _slot: Option<Uid>,
}

impl ClientState {
    /// Tells everybody that the launcher is gone.
    fn forget(&mut self) {
        self.requests = None;
        self.asked.clear();
        for (_, waiter) in self.waiting.drain() {
            let _ = waiter.sender.send(Err("the launcher is gone".into()));
        }
    }
}

impl LauncherClient {
    /// Starts a launcher and waits until it has built its root.
    pub(crate) async fn start(launch: LauncherConfig) -> Result<Self, StartError> {
        let (launching, state) = (Mutex::default(), Arc::default());
        let link = Self { launch, launching, state };
        let ready = link.start_launcher()?;
        match timeout(READY_WAIT, ready).await {
            Ok(Ok(())) => Ok(link),
            Ok(Err(_)) => Err(link.failure("it ended while it was starting")),
            Err(_) => Err(link.failure("it did not get ready in time")),
        }
    }

    fn failure(&self, what: &str) -> StartError {
        let process = self.state.lock().process.take();
        if let Some(mut process) = process {
            let _ = process.kill();
            let _ = process.wait();
        }
        StartError::Launcher(what.to_owned())
    }

    /// Starts the process. What it has to say about a failure goes to our stderr.
    fn start_launcher(&self) -> Result<oneshot::Receiver<()>, StartError> {
        let refused = |error: std::io::Error| StartError::Launcher(error.to_string());
        let (near, far) = wire::pair().map_err(refused)?;
        let process = Command::new(&self.launch.program)
            .arg0("sky-island-launcher")
            .arg("launcher")
            .env_clear()
            // A signal to the server's group is for the server, which ends its islands in order.
            .process_group(0)
            .stdin(Stdio::from(far))
            .stdout(Stdio::null())
            .spawn()
            .map_err(refused)?;
        wire::send(near.as_raw_fd(), &self.launch.orders, &[]).map_err(refused)?;
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&near, nix::fcntl::FcntlArg::F_SETFL(flags))
            .map_err(|e| refused(e.into()))?;
        // SAFETY: the AsyncFd owns the descriptor, which an OwnedFd keeps open and the same for as long as it lives.
        let socket = unsafe { AsyncFd::register(near) }.map_err(|e| refused(e.into()))?;
        let socket = Arc::new(socket);
        let (sender, receiver) = mpsc::unbounded_channel();
        let (ready_sender, ready) = oneshot::channel();
        let mut state = self.state.lock();
        state.forget();
        if let Some(mut old) = state.process.replace(process) {
            // Its socket is gone, so it is ending; nothing may wait for one that does not.
            let _ = old.kill();
            let _ = old.wait();
        }
        state.generation += 1;
        state.requests = Some(sender);
        tokio::spawn(write_requests(socket.clone(), receiver));
        tokio::spawn(read_events(socket, self.state.clone(), state.generation, ready_sender));
        Ok(ready)
    }

    /// Starts another launcher unless there is one by now.
    fn relaunch(&self) -> Result<(), StartError> {
        let _alone = self.launching.lock();
        let usable = {
            let state = self.state.lock();
            // A link that was closed meanwhile stays closed.
            state.closed || state.requests.as_ref().is_some_and(|requests| !requests.is_closed())
        };
        if !usable {
            self.start_launcher()?;
        }
        Ok(())
    }

    /// Asks for the island that `prepare` describes, whose user is `uid`. The receiver resolves when it has ended.
    pub(crate) fn prepare<P: Serialize>(
        &self,
        id: &IslandId,
        prepare: P,
        fds: Vec<OwnedFd>,
        uid: Option<Uid>,
    ) -> Result<oneshot::Receiver<Result<Exit, String>>, StartError> {
        let (sender, exit) = oneshot::channel();
        let waiter = Waiter { sender, since: Instant::now(), killed: false, _slot: uid };
        let mut message = Message::new(&Request::Prepare(Box::new(prepare)), fds)
            .map_err(|error| StartError::Refused(format!("it cannot be asked for: {error}")))?;
        for attempt in 0..2 {
            let mut state = self.state.lock();
            if let Some(requests) = &state.requests {
                match requests.send(message) {
                    Ok(()) => {
                        state.waiting.insert(id.to_string(), waiter);
                        return Ok(exit);
                    }
                    Err(mpsc::error::SendError(unsent)) => message = unsent,
                }
            }
            let closed = state.closed;
            drop(state);
            if closed || attempt > 0 {
                break;
            }
            self.relaunch()?;
        }
        Err(StartError::Launcher("it is closed".into()))
    }

    pub(crate) fn kill(&self, id: &IslandId) {
        let message = Message::new(&Request::<()>::Kill { id: id.to_string() }, Vec::new());
        let mut state = self.state.lock();
        if let Some(waiter) = state.waiting.get_mut(id.as_str()) {
            waiter.killed = true;
        }
        if let (Some(requests), Ok(message)) = (&state.requests, message) {
            // If the launcher is gone its islands have gone with it.
            let _ = requests.send(message);
        }
    }

    pub(crate) fn list(&self) -> Vec<IslandId> {
        self.state.lock().waiting.keys().filter_map(|id| IslandId::parse(id)).collect()
    }

    /// The islands that run, as the launcher knows them.
    pub(crate) async fn islands(&self) -> Result<Vec<ListedIsland>, StartError> {
        let (sender, answer) = oneshot::channel();
        let message = Message::new(&Request::<()>::List, Vec::new())
            .map_err(|error| StartError::Launcher(error.to_string()))?;
        {
            let mut state = self.state.lock();
            let Some(requests) = &state.requests else { return Ok(Vec::new()) };
            // If the launcher is gone its islands have gone with it.
            if requests.send(message).is_err() {
                return Ok(Vec::new());
            }
            state.asked.push_back(sender);
        }
        let silent = |_| StartError::Launcher(format!("it did not answer within {LIST_WAIT:?}"));
        let gone = |_| StartError::Launcher("it has ended".to_owned());
        let found = timeout(LIST_WAIT, answer).await.map_err(silent)?.map_err(gone)?;
        let state = self.state.lock();
        let listed = |(id, number): (String, i32)| {
            let waiter = state.waiting.get(&id)?;
            let (since, killed) = (waiter.since, waiter.killed);
            Some(ListedIsland { id: IslandId::parse(&id)?, number, since, killed })
        };
        Ok(found.into_iter().filter_map(listed).collect())
    }

    /// Closes the launcher's socket, upon which it ends its islands and itself, and waits for that.
    pub(crate) async fn close(&self) {
        let process = {
            let mut state = self.state.lock();
            state.closed = true;
            state.requests = None;
            state.process.take()
        };
        let Some(mut process) = process else { return };
        let until = Instant::now() + END_WAIT;
        while Instant::now() < until {
            if !matches!(process.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Passes requests on until there can be no more, then shuts the socket, which ends the launcher.
async fn write_requests(
    socket: Arc<AsyncFd<OwnedFd>>,
    mut requests: mpsc::UnboundedReceiver<Message>,
) {
    while let Some(mut message) = requests.recv().await {
        let mut tries = 0..SEND_RETRIES;
        let sent = loop {
            let send = |socket: &OwnedFd| message.outgoing.advance(socket.as_raw_fd());
            match socket.async_io(tokio::io::Interest::WRITABLE, send).await {
                Err(error) if is_for_now(&error) && tries.next().is_some() => {
                    tokio::time::sleep(SEND_RETRY).await;
                }
                sent => break sent,
            }
        };
        if sent.is_err() {
            break;
        }
    }
    let how = nix::sys::socket::Shutdown::Write;
    let _ = nix::sys::socket::shutdown(socket.as_raw_fd(), how);
}

/// Whether a message can be sent a little later: there are too many descriptors on their way, or there is no memory.
fn is_for_now(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETOOMANYREFS | libc::ENOBUFS | libc::ENOMEM))
}

async fn read_events(
    socket: Arc<AsyncFd<OwnedFd>>,
    state: Arc<Mutex<ClientState>>,
    generation: u64,
    ready: oneshot::Sender<()>,
) {
    let mut ready = Some(ready);
    let mut incoming = Incoming::default();
    loop {
        let receive = |socket: &OwnedFd| incoming.next::<Event>(socket.as_raw_fd());
        let result = socket.async_io(tokio::io::Interest::READABLE, receive).await;
        let (id, end) = match result {
            Ok(Some((Event::Ready, _))) => {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
                continue;
            }
            Ok(Some((Event::Listed { islands }, _))) => {
                if let Some(asked) = state.lock().asked.pop_front() {
                    // Whoever waits for too long hears nothing any more.
                    let _ = asked.send(islands);
                }
                continue;
            }
            Ok(Some((Event::Exited { id, exit }, _))) => (id, Ok(exit)),
            Ok(Some((Event::Failed { id, error }, _))) => (id, Err(error)),
            Ok(None) | Err(_) => break,
        };
        let waiter = state.lock().waiting.remove(&id);
        if let Some(Waiter { sender, _slot: uid, .. }) = waiter {
            // Whoever hears of the end finds the user free, and what was made for it.
            drop(uid);
            // Nobody waits for an island whose call was dropped.
            let _ = sender.send(end);
        }
    }
    let mut state = state.lock();
    if state.generation == generation {
        state.forget();
    }
}
