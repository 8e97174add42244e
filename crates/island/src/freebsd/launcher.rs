//! The process that makes islands: small, single-threaded, and started once.
//!
//! The launcher does what jail(8) cannot do right: the program's own status and signal, a clean
//! stderr, a jail that ends with its first process. It also makes the parts of a function's jail,
//! its mounts and limits, by one system call each. The launcher is the parent of its islands: it
//! reports each exit, removes jails on request, and removes all of them when the server goes away.
//!
//! Invariants: the launcher reports an island's exit when the jail is removed, has no process left
//! and its parts are undone, or [`ENDING_WAIT`] later; parts of a jail that still has processes are
//! left to the server, which finds their folder; every wait for one island is a deadline in a list,
//! so that no island waits for another.
//!
//! What can still take long: a system call on a host that is short of memory or whose pool takes no
//! writes, an event that a server does not read, and the end of the launcher, which waits up to
//! [`ENDING_WAIT`] for its islands.

use std::collections::HashMap;
use std::ffi::c_int;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::causes::chain;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};

use crate::backend::Exit;
use crate::freebsd::child::Child;
use crate::freebsd::kernel::HostKernel;
use crate::freebsd::launch_error::{CloseError, LauncherError, MakeError};
use crate::freebsd::params::Param;
use crate::freebsd::parts::MadeParts;
use crate::freebsd::protocol::JailRequest;
use crate::freebsd::settling::Settling;
use crate::freebsd::sys;
use crate::launcher::process;
use crate::launcher::wire::{self, Event, Incoming, LISTED, Request};

/// How often the launcher looks at a jail whose processes are being killed, and for how long before
/// it reports the exit anyway.
const ENDING_POLL: Duration = Duration::from_millis(1);
const ENDING_WAIT: Duration = Duration::from_secs(5);
/// Events that are taken at once.
const EVENTS: usize = 64;

struct Launcher {
    server: OwnedFd,
    queue: Kqueue,
    /// By their names.
    islands: HashMap<String, Island>,
    /// Islands whose first process has not changed its user yet.
    settling: Settling<OpenJail>,
    /// Islands whose first process has ended and whose others are being killed.
    ending: Vec<EndingIsland>,
    /// The parts of all jails, by the names of their islands.
    parts: HashMap<String, MadeParts>,
}

struct Island {
    pid: libc::pid_t,
    jid: c_int,
    /// Bytes of memory beyond which the kernel kills.
    memory: u64,
    /// The server asked the launcher to end the island.
    killed: bool,
}

/// A jail that still has `allow.suser`.
struct OpenJail {
    /// The socket to the first process.
    near: OwnedFd,
    /// The parameters that take the permission away.
    last: Vec<Param>,
}

struct EndingIsland {
    id: String,
    jid: c_int,
    exit: Exit,
    since: Instant,
}

/// Runs a launcher until the server goes away. `server` is the socket that it shares with the
/// server.
fn run(server: OwnedFd) -> Result<(), LauncherError> {
    let failed = |step: &'static str| move |cause| LauncherError::Step { step, cause };
    let system = |step: &'static str| move |error: nix::Error| failed(step)(error.into());
    let mut incoming = Incoming::default();
    // The message is empty, but it says that the server is there.
    incoming
        .next::<serde_json::Value>(server.as_raw_fd())
        .map_err(failed("read the server's first message"))?
        .ok_or(LauncherError::NoServer)?;
    process::ignore_stops().map_err(system("ignore the signals that stop a service"))?;
    let queue = Kqueue::new().map_err(system("open a kqueue(2)"))?;
    let (islands, settling, ending) = (HashMap::new(), Settling::new(), Vec::new());
    let parts = HashMap::new();
    let mut launcher = Launcher { server, queue, islands, settling, ending, parts };
    let watched = launcher.watch(launcher.server_number(), EventFilter::EVFILT_READ);
    watched.map_err(system("watch the server's socket"))?;
    launcher.send(&Event::Ready);
    launcher.serve(&mut incoming);
    launcher.end();
    Ok(())
}

impl Launcher {
    fn serve(&mut self, incoming: &mut Incoming) {
        // Requests may have come in together with the first message.
        let mut requested = true;
        loop {
            if requested && !self.take_requests(incoming) {
                return;
            }
            self.report_ended();
            self.end_late();
            requested = match self.wait() {
                Ok(requested) => requested,
                Err(_) => return,
            };
        }
    }

    /// Waits for something to happen, reaps the processes that have ended and closes the jails
    /// whose processes have changed their user. True when the server has sent something.
    fn wait(&mut self) -> nix::Result<bool> {
        let empty =
            KEvent::new(0, EventFilter::EVFILT_READ, EvFlags::empty(), FilterFlag::empty(), 0, 0);
        let mut events = [empty; EVENTS];
        let count = match self.queue.kevent(&[], &mut events, self.timeout()) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error),
        };
        let mut requested = false;
        for event in &events[..count] {
            match event.filter() {
                Ok(EventFilter::EVFILT_PROC) => self.reap(event.ident() as libc::pid_t),
                _ if event.ident() == self.server_number() => requested = true,
                _ => self.settle(event.ident()),
            }
        }
        Ok(requested)
    }

    /// How long to wait for an event; none for as long as it takes.
    fn timeout(&self) -> Option<libc::timespec> {
        let wait = match self.ending.is_empty() {
            true => self.settling.wait(Instant::now())?,
            false => ENDING_POLL,
        };
        let tv_nsec = wait.subsec_nanos() as libc::c_long;
        Some(libc::timespec { tv_sec: wait.as_secs() as libc::time_t, tv_nsec })
    }

    /// Handles what the server has sent; false once the server has gone away.
    fn take_requests(&mut self, incoming: &mut Incoming) -> bool {
        let server = self.server.as_raw_fd();
        incoming.take_requests(server, |request, fds| self.handle(request, fds))
    }

    fn handle(&mut self, request: Request<JailRequest>, fds: Vec<OwnedFd>) {
        match request {
            Request::Kill { id } => {
                if let Some(island) = self.islands.get_mut(&id) {
                    island.killed = true;
                    self.kill(&id);
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
                    None => Err(MakeError::NoControl),
                };
                if let Err(error) = result {
                    self.send(&Event::Failed { id: prepare.id, error: chain(&error) });
                }
            }
        }
    }

    fn make(&mut self, prepare: &JailRequest, control: OwnedFd) -> Result<(), MakeError> {
        let made = prepare.parts.make(&mut HostKernel)?;
        self.parts.insert(prepare.id.clone(), made);
        let result = self.make_jail(prepare, control);
        if result.is_err() {
            self.undo_parts(&prepare.id);
        }
        result
    }

    fn make_jail(&mut self, prepare: &JailRequest, control: OwnedFd) -> Result<(), MakeError> {
        let jid = sys::create_jail(&prepare.jail).map_err(MakeError::Jail)?;
        let started = self.start(prepare, jid, control);
        if started.is_err() {
            sys::remove_jail(jid);
        }
        started
    }

    /// Undoes the parts of a jail that is gone. Whatever cannot be undone now is undone by the
    /// server, which finds the island's folder.
    fn undo_parts(&mut self, id: &str) {
        let Some(mut parts) = self.parts.remove(id) else { return };
        if let Err(error) = parts.undo(&mut HostKernel) {
            eprintln!("sky-island launcher: {id}: {}", chain(&error));
        }
    }

    fn start(
        &mut self,
        prepare: &JailRequest,
        jid: c_int,
        control: OwnedFd,
    ) -> Result<(), MakeError> {
        let (near, far) = wire::pair().map_err(MakeError::Socket)?;
        // SAFETY: this process has one thread, so the child is a whole copy of it.
        let pid = match unsafe { fork() }.map_err(MakeError::Fork)? {
            ForkResult::Child => {
                drop(near);
                let child = Child { prepare, jid, control, launcher: far };
                // SAFETY: this is the copy, and the launcher's code never runs in it again.
                unsafe { child.run() }
            }
            ForkResult::Parent { child } => child.as_raw(),
        };
        drop(far);
        let memory = prepare.memory;
        self.islands.insert(prepare.id.clone(), Island { pid, jid, memory, killed: false });
        if self.watch(pid as usize, EventFilter::EVFILT_PROC).is_err() {
            // The process has ended already.
            self.reap(pid);
            return Ok(());
        }
        let socket = near.as_raw_fd() as usize;
        let jail = OpenJail { near, last: prepare.last.clone() };
        self.settling.enter(prepare.id.clone(), socket, jail, Instant::now());
        if let Err(error) = self.watch(socket, EventFilter::EVFILT_READ) {
            self.end_unsettled(&prepare.id, &CloseError::Hear(error));
        }
        Ok(())
    }

    fn server_number(&self) -> usize {
        self.server.as_raw_fd() as usize
    }

    /// Has the queue tell of an exit, or of a socket that can be read. A socket that is closed is
    /// watched no more.
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

    /// Closes the jail of a process that has answered on this socket.
    fn settle(&mut self, socket: usize) {
        let Some((id, jail)) = self.settling.take(socket) else { return };
        if let Err(error) = close_jail(&jail) {
            self.end_unsettled(&id, &error);
        }
    }

    /// Ends the islands whose first process did not change its user in time.
    fn end_late(&mut self) {
        while let Some(id) = self.settling.take_late(Instant::now()) {
            self.end_unsettled(&id, &CloseError::Late);
        }
    }

    /// Ends an island whose jail cannot be closed. Its exit is reported like any other; the control
    /// socket has a reason only if the process failed by itself, so this reason goes to stderr.
    fn end_unsettled(&mut self, id: &str, error: &CloseError) {
        eprintln!("sky-island launcher: {id}: {}", chain(error));
        self.kill_process(id);
        self.settling.remove(id);
        if let Some(island) = self.islands.get(id) {
            sys::remove_jail(island.jid);
        }
    }

    /// Ends everything that runs on an island.
    fn kill(&mut self, id: &str) {
        if self.settling.contains(id) {
            self.kill_process(id);
        }
        if let Some(island) = self.islands.get(id) {
            sys::remove_jail(island.jid);
        }
    }

    /// Kills a first process that may not be in its jail yet. The process is not reaped before its
    /// island is forgotten, so the number is still its own.
    fn kill_process(&self, id: &str) {
        if let Some(island) = self.islands.get(id) {
            let _ = kill(Pid::from_raw(island.pid), Signal::SIGKILL);
        }
    }

    /// Takes note of the exit of an island's first process, and ends all others.
    fn reap(&mut self, pid: libc::pid_t) {
        let found = self.islands.iter().find(|(_, island)| island.pid == pid);
        let Some(id) = found.map(|(id, _)| id.clone()) else { return };
        let exit = match sys::reap(pid) {
            Ok(Some((status, peak))) => {
                let island = &self.islands[&id];
                exit(status, !island.killed && peak >= island.memory / 2)
            }
            Ok(None) => {
                // The kernel tells at once of a watched process that is about to exit, before the
                // process can be waited for, and does not tell again: watch the process again.
                let _ = self.watch(pid as usize, EventFilter::EVFILT_PROC);
                return;
            }
            Err(_) => Exit { code: None, signal: None, oom: false },
        };
        let Some(island) = self.islands.remove(&id) else { return };
        self.settling.remove(&id);
        sys::remove_jail(island.jid);
        self.ending.push(EndingIsland { id, jid: island.jid, exit, since: Instant::now() });
    }

    fn report_ended(&mut self) {
        for ending in std::mem::take(&mut self.ending) {
            let is_empty =
                sys::is_gone(ending.jid) || sys::has_processes(ending.jid).is_ok_and(|some| !some);
            if !is_empty && ending.since.elapsed() <= ENDING_WAIT {
                self.ending.push(ending);
                continue;
            }
            let EndingIsland { id, exit, .. } = ending;
            match is_empty {
                true => self.undo_parts(&id),
                // A process that does not end could hold up the unmounting, and the launcher.
                false => drop(self.parts.remove(&id)),
            }
            self.send(&Event::Exited { id, exit });
        }
    }

    fn send(&self, event: &Event) {
        // A failure means that the server is gone, which the next receive sees.
        let _ = wire::send(self.server.as_raw_fd(), event, &[]);
    }

    /// Ends all islands.
    fn end(&mut self) {
        let ids: Vec<String> = self.islands.keys().cloned().collect();
        ids.iter().for_each(|id| self.kill(id));
        let until = Instant::now() + ENDING_WAIT;
        while !(self.islands.is_empty() && self.ending.is_empty()) && Instant::now() < until {
            let pids: Vec<_> = self.islands.values().map(|island| island.pid).collect();
            pids.into_iter().for_each(|pid| self.reap(pid));
            self.report_ended();
            std::thread::sleep(ENDING_POLL);
        }
    }
}

/// Takes from a jail what its first process needed to change its user, and has the process go on.
fn close_jail(jail: &OpenJail) -> Result<(), CloseError> {
    let mut byte = [0];
    // The process has failed, tells the server so, and ends.
    if nix::unistd::read(&jail.near, &mut byte).map_err(CloseError::Hear)? == 0 {
        return Ok(());
    }
    if !jail.last.is_empty() {
        sys::update_jail(&jail.last).map_err(CloseError::Jail)?;
    }
    nix::unistd::write(&jail.near, b"!").map(|_| ()).map_err(CloseError::Answer)
}

/// How a process ended. A process that nothing known killed, while its island used much memory, met
/// the limit that the kernel keeps.
fn exit(status: c_int, heavy: bool) -> Exit {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        let oom = heavy && signal == libc::SIGKILL;
        return Exit { code: None, signal: Some(signal), oom };
    }
    Exit { code: Some(libc::WEXITSTATUS(status)), signal: None, oom: false }
}

/// Runs a launcher on the socket that is this process's stdin, which then reads as empty.
pub(crate) fn run_on_stdin() -> Result<(), LauncherError> {
    let step = "take its socket from stdin";
    run(process::socket_on_stdin().map_err(|cause| LauncherError::Step { step, cause })?)
}
