//! A zygote: a process that owns everything that islands can share that live one after the other,
//! and forks the islands.
//!
//! A zygote has a control group, limits, a system-call filter, and a user, a mount, a network, an
//! ipc, a uts and a cgroup namespace. Its islands inherit all of these. Each island has a pid
//! namespace of its own, is restricted by landlock rules, which the zygote may keep for the next
//! island, becomes another user than its zygote's, and drops all capabilities.
//!
//! Invariants: at most one island lives in a zygote. The next island begins after the zygote has
//! waited for the first process of the island before; the kernel lets it do so only when no other
//! process of the island's pid namespace is left. The zygote has then checked the island's
//! [`Traces`]. A zygote that finds a trace, cannot check, or serves one island only
//! ([`Zygote::reuse`]) ends, and its launcher makes another. Nothing else outlives an island: its
//! ipc namespace takes nothing in without calls that the filter refuses, nor do the kernel's keys;
//! its network namespace has no interface that is up; priorities, limits, timers and locks belong
//! to its processes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, Ordering};

use common::causes;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::backend::Exit;
use crate::launcher::process;
use crate::launcher::wire::{self, Incoming};
use crate::linux::cgroup::group::Cgroup;
use crate::linux::confine::{self, ConfineError};
use crate::linux::devices::Devices;
use crate::linux::execution::{
    Execution, FirstProcessError, HOSTNAME, end_of, leave_launchers_signals,
};
use crate::linux::fork::{self, SharedNumber, Stack};
use crate::linux::function_root::enter_own_root;
use crate::linux::meter::first_of;
use crate::linux::protocol::{ForkReport, ForkRequest, ProcessBounds};
use crate::linux::root::RootError;
use crate::linux::seccomp::{Filter, FilterToken};
use crate::linux::sys;
use crate::linux::zygote::rules::Rules;
use crate::linux::zygote::tmp::Tmp;
use crate::linux::zygote::traces::{Traces, count_of_sockets};

/// The part of an island's memory limit that may still be charged after the island's end: pages of
/// files that the island was the first to read, and memory that the kernel frees a little later.
const RESIDUE: u64 = 8;
/// The out-of-memory score of an island: when the host runs out of memory, the kernel kills it
/// first.
const FIRST_TO_GO: &[u8] = b"1000";

/// Why a zygote could not serve an island.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZygoteError {
    /// A system call failed.
    #[error("zygote: {step} failed")]
    Call {
        /// The step that the call belongs to.
        step: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The zygote could not be restricted.
    #[error("the zygote could not be restricted")]
    Confine(#[from] ConfineError),
    /// A file system of the zygote could not be mounted.
    #[error("the zygote's file systems could not be made")]
    Root(#[from] RootError),
    /// The request cannot be executed.
    #[error("the request cannot be executed")]
    Request(#[from] FirstProcessError),
    /// The request came without a descriptor that it needs.
    #[error("the request came without {0}")]
    Without(&'static str),
}

/// Names the step that a failed call belongs to.
fn during<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> ZygoteError {
    move |error| ZygoteError::Call { step, source: error.into() }
}

/// What a new zygote is given.
pub(crate) struct Zygote<'a> {
    /// The socket that the zygote shares with its launcher.
    pub(crate) launcher: OwnedFd,
    /// The host's /proc.
    pub(crate) proc: &'a OwnedFd,
    pub(crate) group: Option<&'a Cgroup>,
    pub(crate) bounds: ProcessBounds,
    /// Its islands have another user than the zygote.
    pub(crate) is_other_user: bool,
    /// The zygote may serve another island after a clean one.
    pub(crate) reuse: bool,
    /// One byte arrives here once the launcher has written the user mapping.
    pub(crate) mapped: std::io::PipeReader,
    pub(crate) filter: &'a Filter,
    pub(crate) devices: Devices,
    pub(crate) token: FilterToken,
    /// The pid of its island's first process, for the launcher that kills it: negative while the
    /// zygote waits for the process, zero afterwards.
    pub(crate) island: &'a SharedNumber,
}

/// What a zygote holds from its set-up to its end.
struct ZygoteState {
    /// A descriptor for the zygote itself; readable once the zygote has ended.
    process: OwnedFd,
    /// The zygote's out-of-memory score.
    score: File,
    /// The score while no island is being forked.
    own_score: String,
    traces: Traces,
    /// The rules of the last island whose request came with the fork.
    rules: Option<Rules>,
    stack: Stack,
}

/// How an island learns its program.
enum ProgramSource {
    /// By a request on its control socket, later.
    Socket(OwnedFd),
    /// From the zygote; with the program's descriptors from 0 on.
    Known(Execution, Vec<OwnedFd>),
}

/// What a first process reports to its zygote, by the memory that they share.
#[derive(Default)]
struct ExecProgress {
    stage: ExecStage,
    /// The request that came on the control socket.
    received: Option<Execution>,
    /// Why the first process did not become its program.
    failure: String,
}

/// How far a first process got. If the process ended within the first stage, any of the memory that
/// it shares with its zygote may be half changed.
#[derive(Default)]
struct ExecStage(AtomicU8);

impl ExecStage {
    const PREPARING: u8 = 0;
    /// The first process executes its program, and changes no memory any more.
    const EXECUTING: u8 = 1;
    /// The first process has failed and has stored the reason. Only its end follows.
    const FAILED: u8 = 2;

    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::SeqCst);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Zygote<'_> {
    /// Serves the launcher until the launcher goes away or this zygote may not be used again.
    pub(crate) fn run(mut self) -> ! {
        let mut incoming = Incoming::default();
        let mut state = self.set_up().map_err(|error| {
            // The launcher has sent an island for this zygote.
            let _ = incoming.next::<ForkRequest>(self.launcher.as_raw_fd());
            self.refuse(&error);
        });
        while let Ok(state) = &mut state
            && let Ok(Some((request, fds))) = incoming.next(self.launcher.as_raw_fd())
            && self.serve(state, request, fds)
        {}
        sys::exit_now(0)
    }

    fn set_up(&mut self) -> Result<ZygoteState, ZygoteError> {
        let mut byte = [0];
        self.mapped.read_exact(&mut byte).map_err(during("waiting for the launcher"))?;
        self.close_launchers_files();
        // The name that ps(1) shows.
        nix::sys::prctl::set_name(c"sky-zygote").map_err(during("naming the process"))?;
        self.group.map_or(Ok(()), Cgroup::join).map_err(during("joining the cgroup"))?;
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWCGROUP;
        nix::sched::unshare(flags).map_err(during("unshare"))?;
        nix::unistd::sethostname(HOSTNAME).map_err(during("sethostname"))?;
        // Root owns these files. Opened now, they stay usable after the change of user.
        let sockets = self.open_own("net/sockstat", OFlag::O_RDONLY)?;
        let no_sockets = count_of_sockets(&sockets).map_err(during("reading sockstat"))?;
        let score = self.open_own("oom_score_adj", OFlag::O_RDWR)?;
        let own_score = first_of(&score).map_err(during("reading oom_score_adj"))?;
        let memory = self.group.map(Cgroup::meter).transpose();
        let memory = memory.map_err(during("opening the cgroup's memory files"))?;
        let own_pid = nix::unistd::getpid().as_raw();
        let process = sys::open_process(own_pid).map_err(during("pidfd_open"))?;
        if self.is_other_user {
            confine::become_mapped_root()?;
        }
        confine::keep_privileges_from_programs()?;
        confine::die_with_parent()?;
        enter_own_root(&self.devices)?;
        let tmp = Tmp::mount(self.bounds, self.token)?;
        let mut bounds = self.bounds;
        // Where the islands have the zygote's user, the zygote counts as one process of that user.
        bounds.processes = bounds.processes.saturating_add(u64::from(!self.is_other_user));
        confine::limit(&bounds, self.group.is_some())?;
        let stack = Stack::new().map_err(during("mapping a stack"))?;
        confine::filter_calls(self.filter)?;
        let traces = Traces::of_new(sockets, no_sockets, memory, tmp);
        let traces = traces.map_err(during("reading the cgroup's memory"))?;
        let own_score = own_score.trim().to_owned();
        Ok(ZygoteState { process, score, own_score, traces, rules: None, stack })
    }

    /// Closes the launcher's descriptors that a zygote does not use.
    fn close_launchers_files(&self) {
        let groups = self.group.into_iter().flat_map(Cgroup::descriptors);
        let own = [self.launcher.as_raw_fd(), self.proc.as_raw_fd(), self.mapped.as_raw_fd()];
        let devices = match &self.devices {
            Devices::Made(mounted) => Some(mounted.as_raw_fd()),
            Devices::Host => None,
        };
        let keep: Vec<_> = groups.chain(own).chain(devices).collect();
        // SAFETY: this process is a copy of its launcher that leaves only by `exit_now`, so it
        // drops no owner of a descriptor that is closed, and uses only descriptors that it keeps.
        unsafe { sys::close_all_from(process::LINE + 1, &keep) };
    }

    fn open_own(&self, name: &'static str, how: OFlag) -> Result<File, ZygoteError> {
        let path = format!("self/{name}");
        let file = openat(self.proc, path.as_str(), how | OFlag::O_CLOEXEC, Mode::empty());
        Ok(file.map_err(during(name))?.into())
    }

    /// Serves one island from its beginning to its end. Returns whether the zygote may serve
    /// another.
    fn serve(&self, state: &mut ZygoteState, request: ForkRequest, fds: Vec<OwnedFd>) -> bool {
        let source = match state.source(request, fds) {
            Ok(source) => source,
            Err(error) => {
                self.refuse(&error);
                return false;
            }
        };
        let mut progress = ExecProgress::default();
        // The island inherits the score, which no process could set later. The island's first
        // process then resets the zygote's.
        let _ = state.score.write_at(FIRST_TO_GO, 0);
        let ZygoteState { stack, process, score, own_score, rules, .. } = state;
        let body = || {
            let _ = score.write_at(own_score.as_bytes(), 0);
            self.become_island(process, rules.as_ref(), &source, &mut progress)
        };
        // SAFETY: a zygote has a single thread. `become_island` does not return, and notes in
        // `progress.stage` how far it got; below, a process that got no further than the first
        // stage ends this one.
        let begun = unsafe { fork::run_apart(stack, self.island, self.token, body) };
        if let Err(error) = begun {
            self.refuse(&during("clone")(error));
            return false;
        }
        if progress.stage.get() == ExecStage::PREPARING {
            // The first process was killed and may have left the shared memory half changed. The
            // launcher adopts the island and reports its end.
            sys::exit_now(0);
        }
        let has_socket = matches!(source, ProgramSource::Socket(_));
        drop(source);
        let exit = self.wait_for_island();
        let has_begun = progress.stage.get() == ExecStage::EXECUTING;
        let has_killed = state.traces.has_killed();
        let free =
            self.reuse && has_begun && !has_killed && state.is_clean(self.bounds.memory / RESIDUE);
        let oom = has_killed && exit.code != Some(0);
        let end = match has_begun || has_socket {
            true => Ok(Exit { oom, ..exit }),
            false => Err(progress.failure),
        };
        self.report(end, free);
        free
    }

    /// The first process of an island, on the zygote's memory.
    fn become_island(
        &self,
        zygote: &OwnedFd,
        rules: Option<&Rules>,
        source: &ProgramSource,
        progress: &mut ExecProgress,
    ) {
        let ExecProgress { stage, received, failure } = progress;
        let execution = self.settle(zygote).and_then(|()| match source {
            ProgramSource::Socket(control) => {
                // SAFETY: this process leaves by an exec or by `exit_now`; it closes its own copy
                // of the zygote's descriptors, of which it uses only `control`.
                unsafe { sys::close_all_from(process::LINE + 1, &[control.as_raw_fd()]) };
                let rules = confine::file_rules(&["/tmp".into()], false)?;
                Ok(&*received.insert(Execution::receive(control, rules)?))
            }
            ProgramSource::Known(execution, stdio) => {
                let rules = rules.ok_or(FirstProcessError::NoRules)?;
                // SAFETY: this process descends from a launcher that took its socket from stdin.
                unsafe { process::place_stdio(stdio) }.map_err(FirstProcessError::Descriptors)?;
                execution.enter_folder()?;
                rules.seal()?;
                // SAFETY: as above; this process uses only the program's descriptor.
                unsafe { sys::close_all_from(process::LINE + 1, &[rules.program()]) };
                Ok(execution)
            }
        });
        let error = match execution {
            Ok(execution) => {
                stage.set(ExecStage::EXECUTING);
                // SAFETY: the program's descriptor was received, or is one of the rules', and is
                // open.
                let error = unsafe { execution.begin() };
                stage.set(ExecStage::PREPARING);
                execution.failure(error)
            }
            Err(error) => error,
        };
        *failure = causes::chain(&error);
        if let ProgramSource::Socket(control) = source {
            // The server reads the reason after the launcher has reported the exit. A server that
            // is gone does not need the reason.
            let _ = wire::send(control.as_raw_fd(), failure, &[]);
        }
        stage.set(ExecStage::FAILED);
        sys::exit_now(process::NOT_STARTED)
    }

    /// The steps that do not depend on the program.
    fn settle(&self, zygote: &OwnedFd) -> Result<(), FirstProcessError> {
        leave_launchers_signals()?;
        confine::become_nobody(self.token)?;
        confine::drop_privileges(self.token)?;
        let mut zygote = [PollFd::new(zygote.as_fd(), PollFlags::POLLIN)];
        if poll(&mut zygote, PollTimeout::ZERO) != Ok(0) {
            // The zygote ended before the kernel knew that this process is to end with it.
            sys::exit_now(process::NOT_STARTED);
        }
        Ok(())
    }

    /// Waits until no process of the island is left.
    fn wait_for_island(&self) -> Exit {
        let pid = Pid::from_raw(self.island.load(Ordering::Relaxed));
        let until = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(pid), until) == Err(nix::Error::EINTR) {}
        // A positive number there is the pid of a process that has not been waited for.
        self.island.store(-pid.as_raw(), Ordering::SeqCst);
        let exit = end_of(pid);
        self.island.store(0, Ordering::SeqCst);
        exit.unwrap_or(Exit { code: None, signal: None, oom: false })
    }

    fn refuse(&self, error: &ZygoteError) {
        self.report(Err(causes::chain(error)), false);
    }

    fn report(&self, end: Result<Exit, String>, free: bool) {
        // A failure means that the launcher is gone, which the next receive shows.
        let _ = wire::send(self.launcher.as_raw_fd(), &ForkReport { end, free }, &[]);
    }
}

impl ZygoteState {
    /// How the next island learns its program.
    fn source(
        &mut self,
        request: ForkRequest,
        mut fds: Vec<OwnedFd>,
    ) -> Result<ProgramSource, ZygoteError> {
        let Some(exec) = request.go else {
            let control = fds.into_iter().next();
            return control
                .map(ProgramSource::Socket)
                .ok_or(ZygoteError::Without("a control socket"));
        };
        let program = fds.pop().ok_or(ZygoteError::Without("a program"))?;
        let kept = self.rules.take().filter(|rules| rules.allow(&program));
        let rules = kept.map_or_else(|| Rules::make(program), Ok)?;
        let rules = self.rules.insert(rules);
        Ok(ProgramSource::Known(Execution::new(exec, Some(rules.program()))?, fds))
    }

    /// Whether nothing is left of the island that has ended. A changed /tmp is replaced.
    fn is_clean(&mut self, residue: u64) -> bool {
        let renewed = self.traces.renew_tmp();
        if renewed != Some(false) {
            self.rules = None;
        }
        renewed.is_some() && self.traces.are_gone(residue)
    }
}
