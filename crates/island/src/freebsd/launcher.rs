//! The resident process that makes islands: small, single-threaded, and started once.
//!
//! It does what jail(8) cannot do right: the program's own status and signal, a clean stderr, a jail that ends with its
//! first process. It is the parent of its islands: it reports each end, removes jails on request, and when the server
//! goes away it removes them all and ends.
//!
//! What must always hold: an island's end is reported when its jail was removed and no process is left in it; nothing
//! here takes long, for every end waits for it.

use std::collections::HashMap;
use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};

use crate::backend::Exit;
use crate::freebsd::child::Child;
use crate::freebsd::protocol::JailRequest;
use crate::freebsd::sys;
use crate::launcher::process;
use crate::launcher::wire::{self, Event, Incoming, LISTED, Request};

/// How often a jail is looked at whose processes are being killed, and for how long before its end is reported anyway.
const ENDING_POLL: Duration = Duration::from_millis(1);
const ENDING_WAIT: Duration = Duration::from_secs(5);
/// How long a new process may take to enter its jail and change its user.
const SETTLE_WAIT: u16 = 5000;
/// Events that are taken at once.
const EVENTS: usize = 64;

struct Launcher {
    server: OwnedFd,
    queue: Kqueue,
    /// By their names.
    islands: HashMap<String, Island>,
    /// Islands whose first process has ended and whose others are being killed.
    ending: Vec<Ending>,
}

struct Island {
    pid: libc::pid_t,
    jid: c_int,
    /// Bytes of memory beyond which the kernel kills.
    memory: u64,
    /// We were asked to end it.
    killed: bool,
}

struct Ending {
    id: String,
    jid: c_int,
    exit: Exit,
    since: Instant,
}

/// Runs a launcher until the server goes away. `server` is the socket that it shares with the server.
pub(crate) fn run(server: OwnedFd) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut incoming = Incoming::default();
    // There is nothing to be told, but it says that the server is there.
    incoming
        .next::<serde_json::Value>(server.as_raw_fd())
        .map_err(|e| text(&e))?
        .ok_or("the server went away")?;
    process::ignore_stops().map_err(|e| text(&e))?;
    let queue = Kqueue::new().map_err(|e| text(&e))?;
    let mut launcher = Launcher { server, queue, islands: HashMap::new(), ending: Vec::new() };
    let number = launcher.server.as_raw_fd() as usize;
    launcher.watch(number, EventFilter::EVFILT_READ).map_err(|e| text(&e))?;
    launcher.send(&Event::Ready);
    launcher.serve(&mut incoming);
    launcher.end();
    Ok(())
}

impl Launcher {
    fn serve(&mut self, incoming: &mut Incoming) {
        // Requests may have come in together with the orders.
        let mut requested = true;
        loop {
            if requested && !self.take_requests(incoming) {
                return;
            }
            self.report_ended();
            requested = match self.wait() {
                Ok(requested) => requested,
                Err(_) => return,
            };
        }
    }

    /// Waits for something to happen, and reaps the processes that have ended. True when the server has said something.
    fn wait(&mut self) -> nix::Result<bool> {
        let empty =
            KEvent::new(0, EventFilter::EVFILT_READ, EvFlags::empty(), FilterFlag::empty(), 0, 0);
        let mut events = [empty; EVENTS];
        let poll = libc::timespec { tv_sec: 0, tv_nsec: ENDING_POLL.as_nanos() as libc::c_long };
        let timeout = (!self.ending.is_empty()).then_some(poll);
        let count = match self.queue.kevent(&[], &mut events, timeout) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error),
        };
        let mut requested = false;
        for event in &events[..count] {
            match event.filter() {
                Ok(EventFilter::EVFILT_PROC) => self.reap(event.ident() as libc::pid_t),
                _ => requested = true,
            }
        }
        Ok(requested)
    }

    /// Handles what the server has said; false once it has gone away.
    fn take_requests(&mut self, incoming: &mut Incoming) -> bool {
        let server = self.server.as_raw_fd();
        incoming.take_requests(server, |request, fds| self.handle(request, fds))
    }

    fn handle(&mut self, request: Request<JailRequest>, fds: Vec<OwnedFd>) {
        match request {
            Request::Kill { id } => {
                if let Some(island) = self.islands.get_mut(&id) {
                    island.killed = true;
                    sys::remove_jail(island.jid);
                }
            }
            Request::List => {
                let islands = self.islands.iter().take(LISTED);
                let islands = islands.map(|(id, island)| (id.clone(), island.jid)).collect();
                self.send(&Event::Listed { islands });
            }
            Request::Prepare(prepare) => {
                let result = match fds.into_iter().next() {
                    Some(control) => self.make(&prepare, control),
                    None => Err("the request came without a control socket".into()),
                };
                if let Err(error) = result {
                    self.send(&Event::Failed { id: prepare.id, error });
                }
            }
        }
    }

    fn make(&mut self, prepare: &JailRequest, control: OwnedFd) -> Result<(), String> {
        let jid = sys::create_jail(&prepare.jail)?;
        match self.start(prepare, jid, control) {
            Ok(()) => Ok(()),
            Err(error) => {
                sys::remove_jail(jid);
                Err(error)
            }
        }
    }

    fn start(&mut self, prepare: &JailRequest, jid: c_int, control: OwnedFd) -> Result<(), String> {
        let (near, far) = wire::pair().map_err(|e| e.to_string())?;
        // SAFETY: this process has one thread, so the child is a whole copy of it.
        let pid = match unsafe { fork() }.map_err(|e| format!("fork: {e}"))? {
            ForkResult::Child => {
                drop(near);
                Child { prepare, jid, control, launcher: far }.run()
            }
            ForkResult::Parent { child } => child.as_raw(),
        };
        drop(far);
        let memory = prepare.memory;
        self.islands.insert(prepare.id.clone(), Island { pid, jid, memory, killed: false });
        if self.watch(pid as usize, EventFilter::EVFILT_PROC).is_err() {
            // It has ended already.
            self.reap(pid);
            return Ok(());
        }
        if let Err(error) = close_jail(&near, prepare) {
            // The process ends when its jail does, and is reported like any other; the reason is on its control socket
            // only if it was its own, so this one is said here.
            eprintln!("sky-island launcher: {}: {error}", prepare.id);
            // It may not be in its jail yet. It is not waited for before this, so the number is still its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            sys::remove_jail(jid);
        }
        Ok(())
    }

    fn watch(&self, number: usize, filter: EventFilter) -> nix::Result<()> {
        let (flags, what) = match filter {
            EventFilter::EVFILT_PROC => {
                (EvFlags::EV_ADD | EvFlags::EV_ONESHOT, FilterFlag::NOTE_EXIT)
            }
            _ => (EvFlags::EV_ADD, FilterFlag::empty()),
        };
        let change = KEvent::new(number, filter, flags, what, 0, 0);
        self.queue.kevent(&[change], &mut [], None).map(|_| ())
    }

    /// Takes note of the end of an island's first process, and ends all others.
    fn reap(&mut self, pid: libc::pid_t) {
        let found = self.islands.iter().find(|(_, island)| island.pid == pid);
        let Some(id) = found.map(|(id, _)| id.clone()) else { return };
        let exit = match sys::reap(pid) {
            Ok(Some((status, peak))) => {
                let island = &self.islands[&id];
                exit(status, !island.killed && peak >= island.memory / 2)
            }
            Ok(None) => {
                // The kernel tells of a process that is on its way out while it is watched at once, before it can be
                // waited for, and tells no second time: watch it again.
                let _ = self.watch(pid as usize, EventFilter::EVFILT_PROC);
                return;
            }
            Err(_) => Exit { code: None, signal: None, oom: false },
        };
        let Some(island) = self.islands.remove(&id) else { return };
        sys::remove_jail(island.jid);
        self.ending.push(Ending { id, jid: island.jid, exit, since: Instant::now() });
    }

    fn report_ended(&mut self) {
        let (done, left) =
            std::mem::take(&mut self.ending).into_iter().partition(|ending: &Ending| {
                sys::is_gone(ending.jid)
                    || sys::has_processes(ending.jid).is_ok_and(|some| !some)
                    || ending.since.elapsed() > ENDING_WAIT
            });
        self.ending = left;
        let done: Vec<Ending> = done;
        for Ending { id, exit, .. } in done {
            self.send(&Event::Exited { id, exit });
        }
    }

    fn send(&self, event: &Event) {
        // A failure means that the server is gone, which the next receive sees.
        let _ = wire::send(self.server.as_raw_fd(), event, &[]);
    }

    /// Leaves nothing behind.
    fn end(&mut self) {
        for island in self.islands.values() {
            sys::remove_jail(island.jid);
        }
        let until = Instant::now() + ENDING_WAIT;
        while !self.islands.is_empty() && Instant::now() < until {
            let _ = self.wait();
            let pids: Vec<_> = self.islands.values().map(|island| island.pid).collect();
            pids.into_iter().for_each(|pid| self.reap(pid));
            std::thread::sleep(ENDING_POLL);
        }
    }
}

/// Waits until a new process has changed its user, and takes from its jail what it needed for that.
fn close_jail(near: &OwnedFd, prepare: &JailRequest) -> Result<(), String> {
    let mut fds = [PollFd::new(near.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(SETTLE_WAIT)) {
        Ok(0) => return Err("it did not settle in time".into()),
        Ok(_) => {}
        Err(error) => return Err(format!("poll: {error}")),
    }
    let mut byte = [0];
    match nix::unistd::read(near, &mut byte) {
        // It has failed, says so to the server, and ends.
        Ok(0) => return Ok(()),
        Ok(_) => {}
        Err(error) => return Err(format!("read: {error}")),
    }
    if !prepare.last.is_empty() {
        sys::update_jail(&prepare.last)?;
    }
    nix::unistd::write(near, b"!").map(|_| ()).map_err(|error| format!("write: {error}"))
}

/// How a process ended. One that was killed by nobody that we know of, while its island used much memory, met the limit
/// that the kernel keeps.
fn exit(status: c_int, heavy: bool) -> Exit {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        let oom = heavy && signal == libc::SIGKILL;
        return Exit { code: None, signal: Some(signal), oom };
    }
    Exit { code: Some(libc::WEXITSTATUS(status)), signal: None, oom: false }
}

/// [`run`] on the socket that is this process's stdin, which then reads as empty.
pub(crate) fn run_on_stdin() -> Result<(), String> {
    run(process::socket_on_stdin().map_err(|error| error.to_string())?)
}
