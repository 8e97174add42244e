//! A berth: a process that owns what islands can share that live one after the other, and forks them.
//!
//! A berth has a control group, limits, a system-call filter, and a user, a mount, a network, an ipc, a uts and a cgroup
//! namespace, all of which its islands inherit. An island that it forks has a pid namespace of its own, is held to
//! landlock rules, which the berth may keep for the next one, becomes another user than its berth's, and gives up all
//! capabilities.
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
use std::sync::atomic::{AtomicU8, Ordering};

use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use seccompiler::BpfProgramRef;

use crate::backend::Exit;
use crate::launcher::process;
use crate::launcher::wire::{self, Incoming};
use crate::linux::cgroup::Cgroup;
use crate::linux::child::{self, Execution, HOSTNAME};
use crate::linux::confine;
use crate::linux::meter::{MemoryMeter, first_of};
use crate::linux::protocol::{ForkReport, ForkRequest, ProcessBounds};
use crate::linux::root::failed;
use crate::linux::seccomp::FilterToken;
use crate::linux::sys::{self, SharedNumber, Stack};
use crate::linux::zygote::rules::Rules;
use crate::linux::zygote::tmp::Tmp;

/// The part of its memory that may still be charged to an island after its end: pages of files that it was the first to
/// read, and what the kernel frees a little later.
const RESIDUE: u64 = 8;
/// What the kernel says of an island to whoever looks for something to kill when the host runs out of memory.
const FIRST_TO_GO: &[u8] = b"1000";

/// What a new berth has in its hands.
pub(crate) struct Zygote<'a> {
    /// The socket that it shares with its launcher.
    pub(crate) launcher: OwnedFd,
    /// The host's /proc.
    pub(crate) proc: &'a OwnedFd,
    pub(crate) group: Option<&'a Cgroup>,
    pub(crate) bounds: ProcessBounds,
    /// Its islands have a user that it is not itself.
    pub(crate) is_other_user: bool,
    /// One byte arrives here once the launcher has written the user mapping.
    pub(crate) mapped: std::io::PipeReader,
    pub(crate) filter: BpfProgramRef<'a>,
    pub(crate) token: FilterToken,
    /// The number of the first process that it has forked, for when it is killed: negative while it is being waited for,
    /// zero afterwards.
    pub(crate) island: &'a SharedNumber,
}

/// What it holds, once it is set up, for as long as it lives.
struct ZygoteState {
    /// Itself; readable once it has ended.
    process: OwnedFd,
    /// How many sockets its network namespace has, as the kernel says it.
    sockets: File,
    /// What that said when there were none.
    no_sockets: String,
    /// How likely the kernel is to kill it.
    score: File,
    /// What that is when no island is being forked.
    own_score: String,
    memory: Option<MemoryMeter>,
    /// Bytes charged to its group when it was new.
    memory_at_first: u64,
    tmp: Tmp,
    /// Of the last island that was told at once what to become.
    rules: Option<Rules>,
    stack: Stack,
}

/// How an island is told what to become.
enum LauncherSetup {
    /// On its control socket, once it is wanted.
    Later(OwnedFd),
    /// At once; with its descriptors from 0 on.
    Now(Execution, Vec<OwnedFd>),
}

/// What a first process says to its berth, by the memory that they share.
#[derive(Default)]
struct ExecProgress {
    /// How far it got.
    stage: ExecStage,
    /// What it was told on its control socket.
    told: Option<Execution>,
    /// Why it did not become its program.
    failure: String,
}

/// How far a first process got. Where it has ended within the first stage, any of the memory that it shared with its berth
/// may be half changed.
#[derive(Default)]
struct ExecStage(AtomicU8);

impl ExecStage {
    const SETTLES: u8 = 0;
    /// It executes its program, for which it changes nothing any more.
    const EXECUTES: u8 = 1;
    /// It has failed, and said why. Nothing comes after this but its end.
    const FAILED: u8 = 2;

    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::SeqCst);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Zygote<'_> {
    /// Serves its launcher until that goes away or a new berth is the better one.
    pub(crate) fn run(mut self) -> ! {
        let mut incoming = Incoming::default();
        let held = self.set_up();
        let mut held = held.map_err(|reason| {
            // Whoever made it has an island for it.
            let _ = incoming.next::<ForkRequest>(self.launcher.as_raw_fd());
            self.report(Err(reason), false);
        });
        while let Ok(held) = &mut held
            && let Ok(Some((take, fds))) = incoming.next(self.launcher.as_raw_fd())
            && self.serve(held, take, fds)
        {}
        sys::exit_now(0)
    }

    fn set_up(&mut self) -> Result<ZygoteState, String> {
        let mut byte = [0];
        self.mapped.read_exact(&mut byte).map_err(failed("wait for the launcher"))?;
        self.close_launchers_files();
        // For whoever lists processes.
        nix::sys::prctl::set_name(c"sky-berth").map_err(|e| format!("name the process: {e}"))?;
        self.group.map_or(Ok(()), Cgroup::join).map_err(failed("join the cgroup"))?;
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWCGROUP;
        nix::sched::unshare(flags).map_err(|e| format!("unshare: {e}"))?;
        nix::unistd::sethostname(HOSTNAME).map_err(|e| format!("sethostname: {e}"))?;
        // The kernel's files are root's; opened, they are ours.
        let sockets = self.open_own("net/sockstat", OFlag::O_RDONLY)?;
        let no_sockets = sockets_in(&sockets).map_err(failed("sockstat"))?;
        let score = self.open_own("oom_score_adj", OFlag::O_RDWR)?;
        let own_score = first_of(&score).map_err(failed("oom_score_adj"))?.trim().to_owned();
        let memory = self.group.map(Cgroup::meter).transpose().map_err(failed("memory"))?;
        let process = sys::open_process(nix::unistd::getpid().as_raw()).map_err(failed("pidfd"))?;
        if self.is_other_user {
            sys::set_user(0, FilterToken::NONE).map_err(failed("change the user"))?;
        }
        confine::keep_privileges_from_programs().map_err(failed("give up capabilities"))?;
        confine::die_with_parent().map_err(failed("die with the launcher"))?;
        let tmp = Tmp::mount(self.bounds, self.token)?;
        let mut bounds = self.bounds;
        // A user that is the berth's own has one process more.
        bounds.processes = bounds.processes.saturating_add(u64::from(!self.is_other_user));
        confine::limit(&bounds, self.group.is_some()).map_err(failed("limits"))?;
        let stack = Stack::new().map_err(failed("a stack"))?;
        seccompiler::apply_filter(self.filter).map_err(|e| format!("seccomp: {e}"))?;
        let mut held = ZygoteState {
            process,
            sockets,
            no_sockets,
            score,
            own_score,
            memory,
            memory_at_first: 0,
            tmp,
            rules: None,
            stack,
        };
        held.memory_at_first = held.memory_used()?;
        Ok(held)
    }

    /// Those of the launcher's that it has no use for.
    fn close_launchers_files(&self) {
        let groups = self.group.into_iter().flat_map(Cgroup::descriptors);
        let own = [self.launcher.as_raw_fd(), self.proc.as_raw_fd(), self.mapped.as_raw_fd()];
        sys::close_all_from(process::LINE + 1, &groups.chain(own).collect::<Vec<_>>());
    }

    fn open_own(&self, name: &str, how: OFlag) -> Result<File, String> {
        let path = format!("self/{name}");
        let file = openat(self.proc, path.as_str(), how | OFlag::O_CLOEXEC, Mode::empty());
        Ok(file.map_err(|error| format!("/proc/{path}: {error}"))?.into())
    }

    /// Serves one island from its beginning to its end; whether there may be another.
    fn serve(&self, held: &mut ZygoteState, take: ForkRequest, fds: Vec<OwnedFd>) -> bool {
        let orders = match held.orders(take, fds) {
            Ok(orders) => orders,
            Err(reason) => {
                self.report(Err(reason), false);
                return false;
            }
        };
        let mut said = ExecProgress::default();
        // The island inherits the score, which nobody could give it later. It gives the berth its own back.
        let _ = held.score.write_at(FIRST_TO_GO, 0);
        let ZygoteState { stack, process, score, own_score, rules, .. } = held;
        let begun = sys::run_apart(stack, self.island, self.token, || {
            let _ = score.write_at(own_score.as_bytes(), 0);
            self.become_island(process, rules.as_ref(), &orders, &mut said)
        });
        if let Err(error) = begun {
            self.report(Err(format!("clone: {error}")), false);
            return false;
        }
        if said.stage.get() == ExecStage::SETTLES {
            // Killed, it may have left anything. The launcher takes it on, and tells its end.
            sys::exit_now(0);
        }
        let is_told_later = matches!(orders, LauncherSetup::Later(_));
        drop(orders);
        let exit = self.wait_for_island();
        let has_begun = said.stage.get() == ExecStage::EXECUTES;
        let has_killed = held.memory.as_ref().is_some_and(MemoryMeter::has_killed);
        let free = has_begun && !has_killed && held.is_rid_of_island(self.bounds.memory / RESIDUE);
        let oom = has_killed && exit.code != Some(0);
        let end = match has_begun || is_told_later {
            true => Ok(Exit { oom, ..exit }),
            false => Err(said.failure),
        };
        self.report(end, free);
        free
    }

    /// What the first process of an island does, on the berth's memory.
    fn become_island(
        &self,
        zygote: &OwnedFd,
        rules: Option<&Rules>,
        orders: &LauncherSetup,
        said: &mut ExecProgress,
    ) {
        let ExecProgress { stage, told, failure } = said;
        let execution = self.settle(zygote).and_then(|()| match orders {
            LauncherSetup::Later(control) => {
                sys::close_all_from(process::LINE + 1, &[control.as_raw_fd()]);
                let rules = confine::file_rules(&["/tmp".into()], false)?;
                Ok(&*told.insert(Execution::receive(control, rules)?))
            }
            LauncherSetup::Now(execution, stdio) => {
                let rules = rules.ok_or("it has no rules")?;
                process::place_stdio(stdio)?;
                execution.enter_folder()?;
                rules.seal()?;
                sys::close_all_from(process::LINE + 1, &[rules.program()]);
                Ok(execution)
            }
        });
        let reason = execution.map(|execution| {
            stage.set(ExecStage::EXECUTES);
            let error = execution.begin();
            stage.set(ExecStage::SETTLES);
            execution.failure(&error)
        });
        *failure = reason.unwrap_or_else(|reason| reason);
        if let LauncherSetup::Later(control) = orders {
            // The server reads the reason when it sees the exit; if it is gone, so is the need.
            let _ = wire::send(control.as_raw_fd(), failure, &[]);
        }
        stage.set(ExecStage::FAILED);
        sys::exit_now(process::NOT_STARTED)
    }

    /// What does not depend on the program.
    fn settle(&self, zygote: &OwnedFd) -> Result<(), String> {
        child::leave_launchers_signals()?;
        confine::become_nobody(self.token).map_err(failed("change the user"))?;
        confine::drop_privileges(self.token).map_err(failed("drop privileges"))?;
        let mut zygote = [PollFd::new(zygote.as_fd(), PollFlags::POLLIN)];
        if poll(&mut zygote, PollTimeout::ZERO) != Ok(0) {
            // It was gone before this process asked to end with it.
            sys::exit_now(process::NOT_STARTED);
        }
        Ok(())
    }

    /// Waits until nothing of the island runs any more.
    fn wait_for_island(&self) -> Exit {
        let pid = Pid::from_raw(self.island.load(Ordering::Relaxed));
        let until = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(pid), until) == Err(nix::Error::EINTR) {}
        // Whoever finds the number itself there knows that it is still the island's.
        self.island.store(-pid.as_raw(), Ordering::SeqCst);
        let exit = child::end_of(pid);
        self.island.store(0, Ordering::SeqCst);
        exit.unwrap_or(Exit { code: None, signal: None, oom: false })
    }

    fn report(&self, end: Result<Exit, String>, free: bool) {
        // A failure means that the launcher is gone, which the next order's absence tells.
        let _ = wire::send(self.launcher.as_raw_fd(), &ForkReport { end, free }, &[]);
    }
}

impl ZygoteState {
    fn memory_used(&self) -> Result<u64, String> {
        self.memory.as_ref().map_or(Ok(0), MemoryMeter::used).map_err(failed("memory"))
    }

    /// How the next island is told what to become.
    fn orders(
        &mut self,
        take: ForkRequest,
        mut fds: Vec<OwnedFd>,
    ) -> Result<LauncherSetup, String> {
        let Some(go) = take.go else {
            let control = fds.into_iter().next();
            return control.map(LauncherSetup::Later).ok_or_else(|| "no control socket".to_owned());
        };
        let program = fds.pop().ok_or("no program")?;
        let kept = self.rules.take().filter(|rules| rules.allow(&program));
        let rules = kept.map_or_else(|| Rules::make(program), Ok)?;
        let rules = self.rules.insert(rules);
        Ok(LauncherSetup::Now(Execution::new(go, Some(rules.program()))?, fds))
    }

    /// Whether nothing is left of the island that has ended; of its /tmp, because another is mounted.
    fn is_rid_of_island(&mut self, residue: u64) -> bool {
        let most = self.memory_at_first.saturating_add(residue);
        let renewed = self.tmp.renew();
        if renewed != Ok(false) {
            self.rules = None;
        }
        renewed.is_ok()
            && sockets_in(&self.sockets).is_ok_and(|now| now == self.no_sockets)
            && self.memory_used().is_ok_and(|used| used <= most)
    }
}

/// The line of `/proc/net/sockstat` that counts the sockets of all kinds.
fn sockets_in(sockstat: &File) -> io::Result<String> {
    let text = first_of(sockstat)?;
    text.lines().next().map(str::to_owned).ok_or(io::ErrorKind::UnexpectedEof.into())
}
