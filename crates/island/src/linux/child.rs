//! The first process of an island that has no [berth](crate::linux::zygote::process), from its fork to its exec.
//!
//! It runs in new namespaces as a copy of its launcher, builds what the island sees, gives up what it must not have,
//! and then waits on its control socket for the [`ExecRequest`] that says what to become. Up to that exec it runs only our code.
//!
//! The order matters: host files are opened while the launcher's user still may; mounts are made by the island's own
//! user, whose files they hold; capabilities go after the last mount; the system-call filter goes on before the wait,
//! so that it costs a call nothing; landlock comes last, because only then is the program known that may run.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use landlock::RulesetCreated;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use seccompiler::BpfProgramRef;

use crate::backend::Exit;
use crate::launcher::process;
use crate::launcher::wire::{self, ExecRequest, Incoming};
use crate::linux::cgroup::Cgroup;
use crate::linux::protocol::{IslandRequest, Network};
use crate::linux::root::{RootSources, failed, mount_names, mount_tmp};
use crate::linux::seccomp::FilterToken;
use crate::linux::{confine, sys};

/// The name of the host on every island.
pub(crate) const HOSTNAME: &str = "island";

/// What a new first process has in its hands.
pub(crate) struct Child<'a> {
    pub(crate) prepare: &'a IslandRequest,
    pub(crate) control: OwnedFd,
    /// The control group that its processes are to be in.
    pub(crate) group: Option<&'a Cgroup>,
    /// One byte arrives here once the launcher has written the user mapping.
    pub(crate) mapped: std::io::PipeReader,
    pub(crate) filter: BpfProgramRef<'a>,
}

impl Child<'_> {
    /// Becomes an island and then its program. Never returns, so that nothing is dropped whose descriptor is closed by
    /// then.
    pub(crate) fn run(mut self) -> ! {
        let control = self.control.as_raw_fd();
        if let Err(reason) = self.become_island() {
            // The server reads the reason when it sees the exit; if it is gone, so is the need.
            let _ = wire::send(control, &reason, &[]);
        }
        sys::exit_now(process::NOT_STARTED)
    }

    fn become_island(&mut self) -> Result<(), String> {
        let mut byte = [0];
        self.mapped.read_exact(&mut byte).map_err(failed("wait for the launcher"))?;
        // Nothing of the island exists yet, so all of it will be counted.
        self.group.map_or(Ok(()), Cgroup::join_late).map_err(failed("join the cgroup"))?;
        let rules = self.settle()?;
        let execution = Execution::receive(&self.control, rules)?;
        Err(execution.failure(&execution.begin()))
    }

    /// Everything that does not depend on the program.
    fn settle(&self) -> Result<RulesetCreated, String> {
        leave_launchers_signals()?;
        nix::unistd::sethostname(HOSTNAME).map_err(|e| format!("sethostname: {e}"))?;
        let writable = self.build_root()?;
        if self.prepare.background {
            confine::yield_processor().map_err(failed("lower the priority"))?;
        }
        confine::limit(&self.prepare.bounds, self.group.is_some()).map_err(failed("limits"))?;
        confine::keep_privileges_from_programs().map_err(failed("give up capabilities"))?;
        confine::drop_privileges(FilterToken::NONE).map_err(failed("drop privileges"))?;
        sys::close_all_from(process::LINE + 1, &[self.control.as_raw_fd()]);
        let rules = confine::file_rules(&writable, self.prepare.network != Network::None)?;
        seccompiler::apply_filter(self.filter).map_err(|e| format!("seccomp: {e}"))?;
        Ok(rules)
    }

    /// Returns the folders that the island may write.
    fn build_root(&self) -> Result<Vec<PathBuf>, String> {
        let Some(root) = &self.prepare.root else {
            confine::become_nobody(FilterToken::NONE).map_err(failed("change the user"))?;
            mount_tmp(&self.prepare.bounds, FilterToken::NONE)?;
            if let Network::Address { dns } = &self.prepare.network {
                mount_names(dns)?;
            }
            return Ok(vec!["/tmp".into()]);
        };
        let sources = RootSources::open(root)?;
        confine::become_nobody(FilterToken::NONE).map_err(failed("change the user"))?;
        sources.enter(root)?;
        let bound = root.binds.iter().filter(|bind| bind.writable).map(|bind| bind.target.clone());
        Ok(bound.chain(root.overlay.as_ref().map(|overlay| overlay.target.clone())).collect())
    }
}

/// Has signals of its own, and is no part of its launcher's process group, which it could send some to.
pub(crate) fn leave_launchers_signals() -> Result<(), String> {
    process::default_signals().map_err(|e| format!("signals: {e}"))?;
    let own = Pid::from_raw(0);
    nix::unistd::setpgid(own, own).map_err(|e| format!("setpgid: {e}"))
}

/// How a first process has ended, and with it all of its island; none while it runs.
pub(crate) fn end_of(pid: Pid) -> Option<Exit> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => {
            Some(Exit { code: Some(code), signal: None, oom: false })
        }
        Ok(WaitStatus::Signaled(_, signal, _)) => {
            Some(Exit { code: None, signal: Some(signal as i32), oom: false })
        }
        Ok(_) => None,
        Err(_) => Some(Exit { code: None, signal: None, oom: false }),
    }
}

/// What a first process is about to become. It holds no descriptor: those of a process that shares its memory are its
/// own, and go when it becomes a program.
pub(crate) struct Execution {
    program: Option<RawFd>,
    path: CString,
    args: sys::Words,
    env: sys::Words,
    folder: CString,
    name: String,
}

impl Execution {
    /// `program` is its descriptor, where `go` names no path.
    pub(crate) fn new(go: ExecRequest, program: Option<RawFd>) -> Result<Self, String> {
        let words = |texts: &[String]| {
            sys::Words::new(texts).map_err(|error| format!("{texts:?} holds a NUL: {error}"))
        };
        let (args, env) = (words(&go.args)?, words(&go.env)?);
        let path = CString::new(go.program.unwrap_or_default()).map_err(|e| e.to_string())?;
        let folder = CString::new(go.folder).map_err(|e| e.to_string())?;
        let name = go.args.into_iter().next().unwrap_or_default();
        Ok(Self { program, path, args, env, folder, name })
    }

    /// The last step but one of a first process that is told on its control socket: waits for that, and confines itself
    /// to what it says.
    pub(crate) fn receive(control: &OwnedFd, rules: RulesetCreated) -> Result<Self, String> {
        let message = Incoming::default()
            .next::<ExecRequest>(control.as_raw_fd())
            .map_err(failed("receive the program"))?;
        // The server no longer wants this island.
        let Some((go, fds)) = message else { sys::exit_now(0) };
        let program = process::take_stdio(&go, fds)?;
        let rules = match &program {
            Some(program) => confine::allow_program(rules, program.as_fd())?,
            None => rules,
        };
        let execution = Self::new(go, program.map(IntoRawFd::into_raw_fd))?;
        execution.enter_folder()?;
        confine::seal_files(rules)?;
        Ok(execution)
    }

    /// Goes to the folder that the program is to start in.
    pub(crate) fn enter_folder(&self) -> Result<(), String> {
        nix::unistd::chdir(self.folder.as_c_str())
            .map_err(|error| format!("{:?}: {error}", self.folder))
    }

    /// The last step; returns only its failure, having changed nothing in memory.
    pub(crate) fn begin(&self) -> io::Error {
        sys::exec(self.program, &self.path, &self.args, &self.env)
    }

    /// That failure, for the server.
    pub(crate) fn failure(&self, error: &io::Error) -> String {
        format!("exec {}: {error}", self.name)
    }
}
