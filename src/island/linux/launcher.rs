//! The resident process that makes islands: small, single-threaded, and started once.
//!
//! The server starts two. One stands in the host's tree and makes the islands of tools, whose roots it builds from
//! host files. The other has moved into the root that all functions share, so that a function's island is a fork with a
//! fresh /tmp. A launcher is the parent of its islands: it reports each end, kills on request, and when the server goes
//! away it kills them all and ends.
//!
//! What must always hold: an island's first process waits for the byte that says that its user mapping is in force, and
//! joins its cgroup before anything else; a launcher does nothing that takes long, for every end waits for it; a group is
//! removed only after its island has ended, and is tried again until the kernel lets go.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use seccompiler::BpfProgram;
use serde::{Deserialize, Serialize};

use crate::island::Exit;
use crate::island::begin;
use crate::island::wire::{self, Event, Incoming};

use super::cgroup::{Group, Groups, Home};
use super::child::Child;
use super::confine::NOBODY;
use super::protocol::{MADE, Network, Prepare};
use super::root;
use super::sys::{self, Forked};

/// How often a group that is still busy is tried again.
const GROUP_RETRY: Duration = Duration::from_millis(5);
/// How long an ending launcher waits for the kernel to let go of its islands' groups.
const LAST_RETRIES: usize = 200;

/// What a launcher is told when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) place: Place,
    pub(crate) home: Option<Home>,
}

/// Which root a launcher stands in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// The host's, for the islands of tools.
    Host,
    /// The functions' own.
    Functions {
        zones: Option<PathBuf>,
        /// Some of them have an address, and want names and certificates.
        addresses: bool,
    },
}

type Request = wire::Request<Prepare>;

struct Launcher {
    server: OwnedFd,
    /// The host's /proc, held because the functions' root has none.
    proc: OwnedFd,
    groups: Option<Groups>,
    filter: BpfProgram,
    /// The id that this launcher's user has in its own user namespace.
    own_id: u32,
    islands: HashMap<String, Island>,
    /// Groups whose island has ended but which the kernel still counts as busy.
    ended: Vec<Group>,
}

struct Island {
    pid: Pid,
    pidfd: OwnedFd,
    group: Option<Group>,
}

/// Runs a launcher until the server goes away. `server` is the socket that it shares with the server.
pub(crate) fn run(server: OwnedFd) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut incoming = Incoming::default();
    let (orders, _) = incoming
        .next::<Orders>(server.as_raw_fd())
        .map_err(|e| text(&e))?
        .ok_or("the server went away")?;
    begin::ignore_stops().map_err(|e| text(&e))?;
    let groups = orders.home.map(|home| home.open()).transpose().map_err(|e| text(&e))?;
    let proc = File::open("/proc").map_err(|e| text(&e))?.into();
    let filter = super::seccomp::compile().map_err(|e| text(&e))?;
    let mut launcher = Launcher {
        own_id: nix::unistd::getuid().as_raw(),
        server,
        proc,
        groups,
        filter,
        islands: HashMap::new(),
        ended: Vec::new(),
    };
    if let Place::Functions { zones, addresses } = orders.place {
        launcher.enter_functions_root(zones.as_deref(), addresses)?;
    }
    launcher.send(&Event::Ready);
    launcher.serve(&mut incoming);
    launcher.end();
    Ok(())
}

impl Launcher {
    /// Takes a mount namespace of its own and, as an ordinary user, the user namespace that owns it.
    fn enter_functions_root(
        &mut self,
        zones: Option<&Path>,
        addresses: bool,
    ) -> Result<(), String> {
        let root = self.own_id == 0;
        let user = if root { CloneFlags::empty() } else { CloneFlags::CLONE_NEWUSER };
        let group = nix::unistd::getgid().as_raw();
        nix::sched::unshare(user | CloneFlags::CLONE_NEWNS).map_err(|e| format!("unshare: {e}"))?;
        if !root {
            let write = |name, text: String| std::fs::write(format!("/proc/self/{name}"), text);
            write("setgroups", "deny".into())
                .and_then(|()| write("uid_map", format!("0 {} 1", self.own_id)))
                .and_then(|()| write("gid_map", format!("0 {group} 1")))
                .map_err(|e| format!("map the user: {e}"))?;
            self.own_id = 0;
        }
        root::enter_function_root(zones, addresses)
    }

    fn serve(&mut self, incoming: &mut Incoming) {
        // Requests may have come in together with the orders.
        if !self.take_requests(incoming) {
            return;
        }
        loop {
            let Ok(ready) = self.wait() else { return };
            for id in ready.ended {
                self.reap(&id);
            }
            if ready.request && !self.take_requests(incoming) {
                return;
            }
        }
    }

    fn wait(&mut self) -> nix::Result<Ready> {
        if let Some(groups) = &self.groups {
            self.ended.retain(|group| !groups.remove(group));
        }
        let timeout = if self.ended.is_empty() {
            PollTimeout::NONE
        } else {
            PollTimeout::try_from(GROUP_RETRY).unwrap_or(PollTimeout::ZERO)
        };
        let mut ids = Vec::with_capacity(self.islands.len());
        let mut fds = vec![PollFd::new(self.server.as_fd(), PollFlags::POLLIN)];
        for (id, island) in &self.islands {
            ids.push(id);
            fds.push(PollFd::new(island.pidfd.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
        let any = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let ended = ids.iter().zip(&fds[1..]).filter(|(_, fd)| any(fd));
        Ok(Ready { request: any(&fds[0]), ended: ended.map(|(id, _)| (*id).clone()).collect() })
    }

    /// Handles what the server has said; false once it has gone away.
    fn take_requests(&mut self, incoming: &mut Incoming) -> bool {
        let server = self.server.as_raw_fd();
        incoming.take_requests(server, |request, fds| self.handle(request, fds))
    }

    fn handle(&mut self, request: Request, fds: Vec<OwnedFd>) {
        match request {
            Request::Kill { id } => {
                if let Some(island) = self.islands.get(&id) {
                    sys::kill_pidfd(island.pidfd.as_fd());
                }
            }
            Request::Prepare(prepare) => {
                let result = match fds.into_iter().next() {
                    Some(control) => self.make(&prepare, control),
                    None => Err("the request came without a control socket".into()),
                };
                match result {
                    Ok(island) => {
                        self.islands.insert(prepare.id, island);
                    }
                    Err(error) => self.send(&Event::Failed { id: prepare.id, error }),
                }
            }
        }
    }

    fn make(&mut self, prepare: &Prepare, control: OwnedFd) -> Result<Island, String> {
        let group = match &self.groups {
            Some(groups) => Some(
                groups.create(&prepare.id, &prepare.bounds).map_err(|e| format!("cgroup: {e}"))?,
            ),
            None => None,
        };
        let result = self.fork(prepare, control, group.as_ref());
        match result {
            Ok((pid, pidfd)) => Ok(Island { pid, pidfd, group }),
            Err(error) => {
                self.ended.extend(group);
                Err(error)
            }
        }
    }

    fn fork(
        &self,
        prepare: &Prepare,
        control: OwnedFd,
        group: Option<&Group>,
    ) -> Result<(Pid, OwnedFd), String> {
        let (mapped, go_ahead) = io::pipe().map_err(|e| e.to_string())?;
        let into = group.and_then(Group::for_fork);
        let flags = namespaces(prepare);
        match sys::fork_into(flags, into).map_err(|e| format!("clone3: {e}"))? {
            Forked::Child => {
                drop(go_ahead);
                Child { prepare, control, group, mapped, filter: &self.filter }.run()
            }
            Forked::Parent { pid, pidfd } => {
                let pid = Pid::from_raw(pid);
                match self.release(prepare, pid, &control, go_ahead) {
                    Ok(()) => Ok((pid, pidfd)),
                    Err(error) => {
                        sys::kill_pidfd(pidfd.as_fd());
                        let _ = waitpid(pid, None);
                        Err(error)
                    }
                }
            }
        }
    }

    /// Writes the user mapping and hands out the network, then lets the new process go on.
    fn release(
        &self,
        prepare: &Prepare,
        pid: Pid,
        control: &OwnedFd,
        mut go_ahead: PipeWriter,
    ) -> Result<(), String> {
        let folder = openat(
            &self.proc,
            pid.to_string().as_str(),
            OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|e| format!("/proc: {e}"))?;
        let outside = prepare.host_id.unwrap_or(self.own_id);
        let outside_group = prepare.host_id.unwrap_or_else(|| self.own_group());
        if self.own_id != 0 {
            write(&folder, "setgroups", "deny")?;
        }
        write(&folder, "uid_map", &format!("{NOBODY} {outside} 1"))?;
        write(&folder, "gid_map", &format!("{NOBODY} {outside_group} 1"))?;
        // When the host runs out of memory, an island goes first.
        let _ = write(&folder, "oom_score_adj", "1000");
        if matches!(prepare.network, Network::Address { .. }) {
            // The process is our child and waits, so its number is nobody else's.
            let net = openat(&folder, "ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(|e| format!("ns/net: {e}"))?;
            wire::send(control.as_raw_fd(), &MADE, &[net.as_raw_fd()])
                .map_err(|e| format!("hand the network out: {e}"))?;
        }
        go_ahead.write_all(b"!").map_err(|e| format!("release: {e}"))
    }

    fn own_group(&self) -> u32 {
        if self.own_id == 0 { 0 } else { nix::unistd::getgid().as_raw() }
    }

    fn reap(&mut self, id: &str) {
        let Some(island) = self.islands.get(id) else { return };
        let exit = match waitpid(island.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Exit { code: Some(code), signal: None, oom: false },
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                Exit { code: None, signal: Some(signal as i32), oom: false }
            }
            Ok(_) => return,
            Err(_) => Exit { code: None, signal: None, oom: false },
        };
        let Some(island) = self.islands.remove(id) else { return };
        let failed = exit.code != Some(0);
        let oom = failed && island.group.as_ref().is_some_and(Group::out_of_memory);
        self.send(&Event::Exited { id: id.to_owned(), exit: Exit { oom, ..exit } });
        self.ended.extend(island.group);
    }

    fn send(&self, event: &Event) {
        // A failure means that the server is gone, which the next receive sees.
        let _ = wire::send(self.server.as_raw_fd(), event, &[]);
    }

    /// Leaves nothing behind.
    fn end(&mut self) {
        for island in self.islands.values() {
            sys::kill_pidfd(island.pidfd.as_fd());
        }
        for (_, island) in self.islands.drain() {
            let _ = waitpid(island.pid, None);
            self.ended.extend(island.group);
        }
        let Some(groups) = &self.groups else { return };
        for _ in 0..LAST_RETRIES {
            self.ended.retain(|group| !groups.remove(group));
            if self.ended.is_empty() {
                return;
            }
            std::thread::sleep(GROUP_RETRY);
        }
    }
}

struct Ready {
    request: bool,
    ended: Vec<String>,
}

fn namespaces(prepare: &Prepare) -> CloneFlags {
    let all = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if prepare.network == Network::Host { all } else { all | CloneFlags::CLONE_NEWNET }
}

fn write(folder: &OwnedFd, name: &str, text: &str) -> Result<(), String> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let open = |fd: BorrowedFd<'_>| openat(fd, name, flags, Mode::empty());
    let file = open(folder.as_fd()).map_err(|e| format!("{name}: {e}"))?;
    nix::unistd::write(&file, text.as_bytes()).map_err(|e| format!("{name}: {e}"))?;
    Ok(())
}

/// [`run`] on the socket that is this process's stdin, which then reads as empty.
pub(crate) fn run_on_stdin() -> Result<(), String> {
    run(begin::socket_on_stdin().map_err(|error| error.to_string())?)
}
