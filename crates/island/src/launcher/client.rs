//! The server's side of one launcher: starts the launcher, sends requests, and tells each waiter
//! when its island has ended.
//!
//! Invariants: an id is in `waiting` exactly while its island may still run, and keeps the island's
//! user for as long; when the launcher is gone, every waiter is told so and the next request starts
//! another launcher; only events of the present launcher count; nothing here blocks a thread of the
//! runtime.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::backend::{Exit, StartError};
use crate::id::IslandId;
use crate::launcher::config::LauncherConfig;
use crate::launcher::stop::{END_WAIT, end, has_ended};
use crate::launcher::uids::Uid;
use crate::launcher::wire::{self, Event, Incoming, Outgoing, Request};

/// How long a launcher may take to build its root.
const READY_WAIT: Duration = Duration::from_secs(10);
/// How long a launcher may take to list its islands.
const LIST_WAIT: Duration = Duration::from_secs(2);
/// How long a launcher may take to read a request.
const SEND_WAIT: Duration = Duration::from_secs(10);
/// How many times, and how often, a request is sent again that the system does not take for now.
const SEND_RETRIES: usize = 1000;
const SEND_RETRY: Duration = Duration::from_millis(1);

/// An island that runs.
pub(crate) struct ListedIsland {
    pub(crate) id: IslandId,
    /// What the system knows the island by.
    pub(crate) number: i32,
    /// When the island was asked for.
    pub(crate) since: Instant,
    /// The island was told to end.
    pub(crate) killed: bool,
}

/// A launcher.
pub(crate) struct LauncherClient {
    config: LauncherConfig,
    /// Held while a launcher is being started.
    launching: Mutex<()>,
    state: Arc<Mutex<ClientState>>,
}

/// A message on its way.
struct Message {
    outgoing: Outgoing,
    /// The descriptors of the message, open until it is sent.
    _fds: Vec<OwnedFd>,
}

impl Message {
    /// Fails for a message that is too long.
    fn new(message: &impl Serialize, fds: Vec<OwnedFd>) -> io::Result<Self> {
        let numbers: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        Ok(Self { outgoing: Outgoing::new(message, &numbers)?, _fds: fds })
    }
}

#[derive(Default)]
struct ClientState {
    /// None while there is no launcher. Bounded by the islands alive: each sends its start and at
    /// most a few kills.
    requests: Option<mpsc::UnboundedSender<Message>>,
    process: Option<Child>,
    /// The islands of the present launcher.
    waiting: HashMap<String, Waiter>,
    /// Who has asked for a list of the islands, in order; some may have stopped waiting.
    asked: VecDeque<oneshot::Sender<Vec<(String, i32)>>>,
    /// The number of the present launcher.
    generation: u64,
    closed: bool,
}

/// Waits for the end of an island.
struct Waiter {
    sender: oneshot::Sender<Result<Exit, String>>,
    since: Instant,
    /// The island was told to end.
    killed: bool,
    /// The island's user, which no other island may have before this one has ended.
    _uid: Option<Uid>,
}

impl ClientState {
    /// Tells every waiter that the launcher is gone.
    fn forget(&mut self) {
        self.requests = None;
        self.asked.clear();
        for (_, waiter) in self.waiting.drain() {
            let _ = waiter.sender.send(Err("the launcher has ended".into()));
        }
    }
}

impl LauncherClient {
    /// Starts a launcher and waits until it has built its root.
    pub(crate) async fn start(config: LauncherConfig) -> Result<Self, StartError> {
        let client = Self { config, launching: Mutex::default(), state: Arc::default() };
        let ready = client.launch(wire::pair().map_err(failed)?)?;
        let why = match timeout(READY_WAIT, ready).await {
            Ok(Ok(())) => return Ok(client),
            Ok(Err(_)) => "the process ended while it started".to_owned(),
            Err(_) => format!("the process was not ready within {READY_WAIT:?}"),
        };
        let process = client.state.lock().process.take();
        if let Some(process) = process {
            end(process).await;
        }
        Err(StartError::Launcher(why))
    }

    /// Starts the process on the far end of a socket. The process reports a failure on this
    /// program's stderr.
    fn launch(&self, (near, far): (OwnedFd, OwnedFd)) -> Result<oneshot::Receiver<()>, StartError> {
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        let flags = nix::fcntl::fcntl(&near, nix::fcntl::FcntlArg::F_SETFL(flags));
        flags.map_err(|error| failed(error.into()))?;
        // SAFETY: the AsyncFd owns the descriptor, which an OwnedFd keeps open and the same for as
        // long as it lives.
        let socket = Arc::new(unsafe { AsyncFd::register(near) }.map_err(|e| failed(e.into()))?);
        let (sender, requests) = mpsc::unbounded_channel();
        // The first message; the receiver is there.
        let _ = sender.send(Message::new(&self.config.setup, Vec::new()).map_err(failed)?);
        let process = Command::new(&self.config.program)
            .arg0("sky-island-launcher")
            .arg("launcher")
            .env_clear()
            // A signal to the server's group is for the server, which ends its islands in order.
            .process_group(0)
            .stdin(Stdio::from(far))
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let (ready_sender, ready) = oneshot::channel();
        let (former, generation) = {
            let mut state = self.state.lock();
            state.forget();
            state.generation += 1;
            state.requests = Some(sender);
            (state.process.replace(process), state.generation)
        };
        if let Some(former) = former {
            tokio::spawn(end(former));
        }
        let state = self.state.clone();
        tokio::spawn(write_requests(socket.clone(), requests, state.clone(), generation));
        tokio::spawn(read_events(socket, state, generation, ready_sender));
        Ok(ready)
    }

    /// Starts another launcher unless there is one by now.
    fn relaunch(&self) -> Result<(), StartError> {
        let _alone = self.launching.lock();
        let usable = {
            let state = self.state.lock();
            // A client that was closed meanwhile stays closed.
            state.closed || state.requests.as_ref().is_some_and(|requests| !requests.is_closed())
        };
        if !usable {
            self.launch(wire::pair().map_err(failed)?)?;
            if let Some(replaced) = &self.config.replaced {
                replaced();
            }
        }
        Ok(())
    }

    /// Asks for the island that `prepare` describes, whose user is `uid`. The receiver resolves
    /// when the island has ended.
    pub(crate) fn prepare<P: Serialize>(
        &self,
        id: &IslandId,
        prepare: P,
        fds: Vec<OwnedFd>,
        uid: Option<Uid>,
    ) -> Result<oneshot::Receiver<Result<Exit, String>>, StartError> {
        let (sender, exit) = oneshot::channel();
        let waiter = Waiter { sender, since: Instant::now(), killed: false, _uid: uid };
        let mut message = Message::new(&Request::Prepare(Box::new(prepare)), fds)
            .map_err(|error| StartError::Refused(format!("the request cannot be sent: {error}")))?;
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
        Err(StartError::Launcher("the server is stopping".into()))
    }

    /// Asks for the end of an island.
    pub(crate) fn kill(&self, id: &IslandId) {
        let message = Message::new(&Request::<()>::Kill { id: id.to_string() }, Vec::new());
        let mut state = self.state.lock();
        if let Some(waiter) = state.waiting.get_mut(id.as_str()) {
            waiter.killed = true;
        }
        if let (Some(requests), Ok(message)) = (&state.requests, message) {
            // The islands of a launcher that is gone have ended with it.
            let _ = requests.send(message);
        }
    }

    /// The islands whose end the launcher has not reported.
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
            // The islands of a launcher that is gone have ended with it.
            if requests.send(message).is_err() {
                return Ok(Vec::new());
            }
            state.asked.push_back(sender);
        }
        let late = |_| StartError::Launcher(format!("no list of islands within {LIST_WAIT:?}"));
        let gone = |_| StartError::Launcher("the process has ended".to_owned());
        let found = timeout(LIST_WAIT, answer).await.map_err(late)?.map_err(gone)?;
        let state = self.state.lock();
        let listed = |(id, number): (String, i32)| {
            let waiter = state.waiting.get(&id)?;
            let (since, killed) = (waiter.since, waiter.killed);
            Some(ListedIsland { id: IslandId::parse(&id)?, number, since, killed })
        };
        Ok(found.into_iter().filter_map(listed).collect())
    }

    /// Closes the launcher's socket, upon which the launcher ends its islands and itself, and waits
    /// for that.
    pub(crate) async fn close(&self) {
        let process = {
            let mut state = self.state.lock();
            state.closed = true;
            state.requests = None;
            state.process.take()
        };
        let Some(mut process) = process else { return };
        if !has_ended(&mut process, END_WAIT).await {
            end(process).await;
        }
    }
}

fn failed(error: io::Error) -> StartError {
    StartError::Launcher(error.to_string())
}

/// Sends requests until there can be no more, then shuts the socket, which ends the launcher. A
/// launcher that does not read its requests is killed.
async fn write_requests(
    socket: Arc<AsyncFd<OwnedFd>>,
    mut requests: mpsc::UnboundedReceiver<Message>,
    state: Arc<Mutex<ClientState>>,
    generation: u64,
) {
    while let Some(message) = requests.recv().await {
        match timeout(SEND_WAIT, write(&socket, message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => {
                tracing::error!("a launcher reads no requests for {} s", SEND_WAIT.as_secs());
                let process = {
                    let mut state = state.lock();
                    let is_present = state.generation == generation;
                    if is_present {
                        state.forget();
                    }
                    state.process.take_if(|_| is_present)
                };
                if let Some(process) = process {
                    end(process).await;
                }
                break;
            }
        }
    }
    let how = nix::sys::socket::Shutdown::Write;
    let _ = nix::sys::socket::shutdown(socket.as_raw_fd(), how);
}

async fn write(socket: &AsyncFd<OwnedFd>, mut message: Message) -> io::Result<()> {
    let mut tries = 0..SEND_RETRIES;
    loop {
        let send = |socket: &OwnedFd| message.outgoing.advance(socket.as_raw_fd());
        match socket.async_io(tokio::io::Interest::WRITABLE, send).await {
            Err(error) if is_for_now(&error) && tries.next().is_some() => {
                sleep(SEND_RETRY).await;
            }
            sent => return sent,
        }
    }
}

/// Whether a message can be sent a little later: there are too many descriptors on their way, or
/// there is no memory.
fn is_for_now(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETOOMANYREFS | libc::ENOBUFS | libc::ENOMEM))
}

/// Handles the events of one launcher until its socket is closed or another launcher has taken its
/// place.
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
        let Ok(Some((event, _))) = result else { break };
        let mut state = state.lock();
        if state.generation != generation {
            return;
        }
        let (id, end) = match event {
            Event::Ready => {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
                continue;
            }
            Event::Listed { islands } => {
                if let Some(asked) = state.asked.pop_front() {
                    // A waiter that has stopped waiting hears nothing any more.
                    let _ = asked.send(islands);
                }
                continue;
            }
            Event::Exited { id, exit } => (id, Ok(exit)),
            Event::Failed { id, error } => (id, Err(error)),
        };
        let waiter = state.waiting.remove(&id);
        drop(state);
        if let Some(Waiter { sender, _uid: uid, .. }) = waiter {
            // The user is free before anybody hears of the end.
            drop(uid);
            // The waiter of a call that was dropped is gone.
            let _ = sender.send(end);
        }
    }
    let mut state = state.lock();
    if state.generation == generation {
        state.forget();
    }
}

#[cfg(test)]
mod tests;
