//! A berth: a process that owns what islands can share that live one after the other, and forks them.
//!
//! A berth has a control group, a user, a mount, a network, an ipc, a uts and a cgroup namespace. An island that it forks
//! has a pid namespace of its own, limits, and landlock rules; it becomes another user than its berth's and gives up all
//! capabilities. It inherits the system-call filter.
//!
//! What must always hold: one island lives in a berth at a time. The next one begins after the first process of the one
//! before was waited for, which the kernel lets happen only when nothing else of its pid namespace is left; and after the
//! berth has seen that it left nothing: its /tmp is as it was mounted, no socket is open in its network, and its memory
//! is given back. A berth that cannot say so ends, and its launcher makes another. Nothing else outlives an island: its
//! ipc namespace takes in nothing without calls that the filter refuses, keys neither, its network has no interface that
//! is up, and priorities, limits, timers and locks are those of its processes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use seccompiler::BpfProgramRef;

use super::cgroup::Group;
use super::child::{self, HOSTNAME};
use super::confine;
use super::meter::{Meter, first_of};
use super::protocol::{Bounds, Order, Report};
use super::root::failed;
use super::seccomp::Word;
use super::sys::{self, Forked, SharedNumber};
use super::tmp::Tmp;
use crate::island::Exit;
use crate::island::begin;
use crate::island::wire::{self, Incoming};

/// The part of its memory that may still be charged to an island after its end: pages of files that it was the first to
/// read, and what the kernel frees a little later.
const RESIDUE: u64 = 8;
/// What the kernel says of an island to whoever looks for something to kill when the host runs out of memory.
const FIRST_TO_GO: &[u8] = b"1000";

/// What a new berth has in its hands.
pub(crate) struct Berth<'a> {
    /// The socket that it shares with its launcher.
    pub(crate) launcher: OwnedFd,
    /// The host's /proc.
    pub(crate) proc: &'a OwnedFd,
    pub(crate) group: Option<&'a Group>,
    pub(crate) bounds: Bounds,
    /// Its islands have a user that it is not itself.
    pub(crate) is_other_user: bool,
    /// One byte arrives here once the launcher has written the user mapping.
    pub(crate) mapped: std::io::PipeReader,
    pub(crate) filter: BpfProgramRef<'a>,
    pub(crate) word: Word,
    /// The number of the first process that it has forked and not yet waited for, for when it is killed.
    pub(crate) island: &'a SharedNumber,
}

/// What it holds, once it is set up, for as long as it lives.
struct Held {
    /// Itself; readable once it has ended.
    process: OwnedFd,
    /// The kernel's list of the sockets of its network namespace.
    sockets: File,
    /// How likely the kernel is to kill it.
    score: File,
    /// What that is when no island is being forked.
    own_score: String,
    memory: Option<Meter>,
    /// Bytes charged to its group when it was new.
    memory_at_first: u64,
    tmp: Tmp,
}

impl Berth<'_> {
    /// Serves its launcher until that goes away or a new berth is the better one.
    pub(crate) fn run(mut self) -> ! {
        let mut incoming = Incoming::default();
        match self.set_up() {
            Ok(mut held) => self.serve(&mut held, &mut incoming),
            Err(reason) => {
                // Whoever made it has an island for it.
                let _ = incoming.next::<Order>(self.launcher.as_raw_fd());
                self.report(Err(reason), false);
            }
        }
        sys::exit_now(0)
    }

    fn set_up(&mut self) -> Result<Held, String> {
        let mut byte = [0];
        self.mapped.read_exact(&mut byte).map_err(failed("wait for the launcher"))?;
        self.close_launchers_files();
        // For whoever lists processes.
        nix::sys::prctl::set_name(c"sky-berth").map_err(|e| format!("name the process: {e}"))?;
        self.group.map_or(Ok(()), Group::join).map_err(failed("join the cgroup"))?;
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWCGROUP;
        nix::sched::unshare(flags).map_err(|e| format!("unshare: {e}"))?;
        nix::unistd::sethostname(HOSTNAME).map_err(|e| format!("sethostname: {e}"))?;
        // The kernel's files are root's; opened, they are ours.
        let sockets = self.open_own("net/unix", OFlag::O_RDONLY)?;
        let score = self.open_own("oom_score_adj", OFlag::O_RDWR)?;
        let own_score = first_of(&score).map_err(failed("oom_score_adj"))?.trim().to_owned();
        let memory = self.group.map(Group::meter).transpose().map_err(failed("memory"))?;
        let process = sys::open_process(nix::unistd::getpid().as_raw()).map_err(failed("pidfd"))?;
        if self.is_other_user {
            sys::set_user(0, Word::NONE).map_err(failed("change the user"))?;
        }
        confine::keep_privileges_from_programs().map_err(failed("give up capabilities"))?;
        confine::die_with_parent().map_err(failed("die with the launcher"))?;
        let tmp = Tmp::mount(self.bounds, self.word)?;
        seccompiler::apply_filter(self.filter).map_err(|e| format!("seccomp: {e}"))?;
        let mut held = Held { process, sockets, score, own_score, memory, memory_at_first: 0, tmp };
        held.memory_at_first = held.memory_used()?;
        Ok(held)
    }

    /// Those of the launcher's that it has no use for.
    fn close_launchers_files(&self) {
        let groups = self.group.into_iter().flat_map(Group::descriptors);
        let own = [self.launcher.as_raw_fd(), self.proc.as_raw_fd(), self.mapped.as_raw_fd()];
        sys::close_all_from(begin::LINE + 1, &groups.chain(own).collect::<Vec<_>>());
    }

    fn open_own(&self, name: &str, how: OFlag) -> Result<File, String> {
        let path = format!("self/{name}");
        let file = openat(self.proc, path.as_str(), how | OFlag::O_CLOEXEC, Mode::empty());
        Ok(file.map_err(|error| format!("/proc/{path}: {error}"))?.into())
    }

    fn serve(&self, held: &mut Held, incoming: &mut Incoming) {
        let launcher = self.launcher.as_raw_fd();
        let mut island: Option<OwnedFd> = None;
        loop {
            let order = match &island {
                None => incoming.next::<Order>(launcher),
                Some(_) => incoming.next_now(launcher),
            };
            match (order, &island) {
                (Ok(Some((Order::Take, fds))), None) => match self.take(held, fds) {
                    Ok(process) => island = Some(process),
                    Err(reason) => self.report(Err(reason), true),
                },
                (Ok(Some((Order::Kill, _))), Some(process)) => sys::kill_pidfd(process.as_fd()),
                // It had ended by then.
                (Ok(Some((Order::Kill, _))), None) => {}
                (Err(error), Some(process)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wait_with(process) {
                        continue;
                    }
                    match self.end(held) {
                        Some(true) => island = None,
                        Some(false) => return,
                        None => {}
                    }
                }
                // The launcher is gone, or talks nonsense. What runs here ends with this process.
                (Ok(Some((Order::Take, _))), Some(_)) | (Ok(None) | Err(_), _) => return,
            }
        }
    }

    /// Waits until the launcher has something to say or the island has ended, which is what it answers.
    fn wait_with(&self, island: &OwnedFd) -> bool {
        let mut fds = [island, &self.launcher].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE).is_ok() && fds[0].any().unwrap_or(false)
    }

    /// Forks an island.
    fn take(&self, held: &Held, fds: Vec<OwnedFd>) -> Result<OwnedFd, String> {
        let control = fds.into_iter().next().ok_or("the order came without a control socket")?;
        // The island inherits the score, which only whoever still has rights could give it later.
        let _ = held.score.write_at(FIRST_TO_GO, 0);
        let into = self.group.and_then(Group::for_fork);
        let forked = sys::fork_into(CloneFlags::CLONE_NEWPID, into, Some(self.island), self.word);
        if let Ok(Forked::Child) = forked {
            self.become_island(held, &control)
        }
        let _ = held.score.write_at(held.own_score.as_bytes(), 0);
        match forked.map_err(|error| format!("clone3: {error}"))? {
            Forked::Parent { pidfd, .. } => Ok(pidfd),
            Forked::Child => sys::exit_now(0),
        }
    }

    fn become_island(&self, held: &Held, control: &OwnedFd) -> ! {
        if let Err(reason) = self.settle(held, control) {
            // The server reads the reason when it sees the exit; if it is gone, so is the need.
            let _ = wire::send(control.as_raw_fd(), &reason, &[]);
        }
        sys::exit_now(crate::island::begin::NOT_STARTED)
    }

    fn settle(&self, held: &Held, control: &OwnedFd) -> Result<(), String> {
        child::leave_launchers_signals()?;
        let mut bounds = self.bounds;
        // A user that is the berth's own has one process more.
        bounds.processes = bounds.processes.saturating_add(u64::from(!self.is_other_user));
        confine::limit(&bounds, self.group.is_some()).map_err(failed("limits"))?;
        confine::become_nobody(self.word).map_err(failed("change the user"))?;
        confine::drop_privileges(self.word).map_err(failed("drop privileges"))?;
        let mut berth = [PollFd::new(held.process.as_fd(), PollFlags::POLLIN)];
        if poll(&mut berth, PollTimeout::ZERO) != Ok(0) {
            // It was gone before this process asked to end with it.
            sys::exit_now(0);
        }
        sys::close_all_from(begin::LINE + 1, &[control.as_raw_fd()]);
        let rules = confine::file_rules(&["/tmp".into()], false)?;
        child::wait_for_program(control, rules)
    }

    /// Waits for the island that has ended, and tells of it; whether there can be another, or none if it has not ended.
    fn end(&self, held: &mut Held) -> Option<bool> {
        let exit = child::end_of(Pid::from_raw(self.island.load(Ordering::Relaxed)))?;
        self.island.store(0, Ordering::Relaxed);
        let oom = held.has_killed() && exit.code != Some(0);
        let free = held.is_rid_of_island(self.bounds.memory / RESIDUE);
        self.report(Ok(Exit { oom, ..exit }), free);
        Some(free)
    }

    fn report(&self, end: Result<Exit, String>, free: bool) {
        // A failure means that the launcher is gone, which the next order's absence tells.
        let _ = wire::send(self.launcher.as_raw_fd(), &Report { end, free }, &[]);
    }
}

impl Held {
    fn memory_used(&self) -> Result<u64, String> {
        self.memory.as_ref().map_or(Ok(0), Meter::used).map_err(failed("memory"))
    }

    /// Whether the kernel killed something of this island for want of memory.
    fn has_killed(&mut self) -> bool {
        self.memory.as_mut().is_some_and(|meter| meter.has_killed().unwrap_or(false))
    }

    /// Whether nothing is left of the island that has ended; of its /tmp, because another is mounted.
    fn is_rid_of_island(&mut self, residue: u64) -> bool {
        const HEADING: usize = 1;
        let most = self.memory_at_first.saturating_add(residue);
        self.tmp.renew().is_ok()
            && first_of(&self.sockets).is_ok_and(|text| text.lines().count() == HEADING)
            && self.memory_used().is_ok_and(|used| used <= most)
    }
}
