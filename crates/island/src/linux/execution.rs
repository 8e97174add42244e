//! The program that the first process of an island becomes, and why it may fail to.

use std::ffi::{CString, NulError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};

use landlock::RulesetCreated;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::backend::Exit;
use crate::launcher::process;
use crate::launcher::wire::{ExecRequest, Incoming};
use crate::linux::confine::{self, ConfineError};
use crate::linux::root::RootError;
use crate::linux::sys;

/// The host name on every island.
pub(crate) const HOSTNAME: &str = "island";

/// Why a first process did not become its program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstProcessError {
    /// A system call failed.
    #[error("{step} failed")]
    Call {
        /// The step that the call belongs to.
        step: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The process could not be restricted.
    #[error("the first process could not be restricted")]
    Confine(#[from] ConfineError),
    /// The root file system could not be made.
    #[error("the island's file system could not be made")]
    Root(#[from] RootError),
    /// A string for execve(2) contains a NUL.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// The string.
        what: &'static str,
        /// Where.
        source: NulError,
    },
    /// The program's descriptors are not the ones that it needs.
    #[error("{0}")]
    Descriptors(String),
    /// The zygote has no landlock rules for the program.
    #[error("the zygote has no landlock rules for the program")]
    NoRules,
    /// The kernel does not execute the program.
    #[error("exec {name}")]
    Exec {
        /// The program's name.
        name: String,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// Names the step that a failed call belongs to.
pub(crate) fn during<E: Into<io::Error>>(
    step: &'static str,
) -> impl FnOnce(E) -> FirstProcessError {
    move |error| FirstProcessError::Call { step, source: error.into() }
}

/// Resets the signals, and leaves the launcher's process group, to which the process could send
/// signals otherwise.
pub(crate) fn leave_launchers_signals() -> Result<(), FirstProcessError> {
    process::default_signals().map_err(during("resetting signals"))?;
    let own = Pid::from_raw(0);
    nix::unistd::setpgid(own, own).map_err(during("setpgid"))
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

/// The program that a first process is about to become.
///
/// Invariants: an `Execution` owns no descriptor. A first process that shares its zygote's memory
/// has a descriptor table of its own, which the kernel closes at the exec.
pub(crate) struct Execution {
    program: Option<RawFd>,
    path: CString,
    args: sys::StringArray,
    env: sys::StringArray,
    folder: CString,
    name: String,
}

impl Execution {
    /// `program` is the program's descriptor, where `request` names no path.
    pub(crate) fn new(
        request: ExecRequest,
        program: Option<RawFd>,
    ) -> Result<Self, FirstProcessError> {
        let nul = |what| move |source| FirstProcessError::Nul { what, source };
        let args = sys::StringArray::new(&request.args).map_err(nul("an argument"))?;
        let env = sys::StringArray::new(&request.env).map_err(nul("an environment variable"))?;
        let path = request.program.unwrap_or_default();
        let path = CString::new(path).map_err(nul("the program's path"))?;
        let folder = CString::new(request.folder).map_err(nul("the working folder's path"))?;
        let name = request.args.into_iter().next().unwrap_or_default();
        Ok(Self { program, path, args, env, folder, name })
    }

    /// Waits for the request on the control socket, and restricts this process to the program that
    /// the request names: the last step before [`Execution::begin`].
    pub(crate) fn receive(
        control: &OwnedFd,
        rules: RulesetCreated,
    ) -> Result<Self, FirstProcessError> {
        let message = Incoming::default()
            .next::<ExecRequest>(control.as_raw_fd())
            .map_err(during("receiving the program"))?;
        // The server does not want this island any more.
        let Some((request, fds)) = message else { sys::exit_now(0) };
        // SAFETY: this process descends from a launcher that took its socket from stdin.
        let program = unsafe { process::take_stdio(&request, fds) };
        let program = program.map_err(FirstProcessError::Descriptors)?;
        let rules = match &program {
            Some(program) => confine::allow_program(rules, program.as_fd())?,
            None => rules,
        };
        let execution = Self::new(request, program.map(IntoRawFd::into_raw_fd))?;
        execution.enter_folder()?;
        confine::seal_files(rules)?;
        Ok(execution)
    }

    /// Changes to the folder in which the program is to start.
    pub(crate) fn enter_folder(&self) -> Result<(), FirstProcessError> {
        nix::unistd::chdir(self.folder.as_c_str()).map_err(during("chdir to the working folder"))
    }

    /// Executes the program. Returns only the failure, after which no memory has changed.
    ///
    /// # Safety
    ///
    /// The program's descriptor that [`Execution::new`] was given is still open in this process.
    pub(crate) unsafe fn begin(&self) -> io::Error {
        // SAFETY: the caller promises that the descriptor is open.
        unsafe { sys::exec(self.program, &self.path, &self.args, &self.env) }
    }

    /// The error for a failure of [`Execution::begin`].
    pub(crate) fn failure(&self, source: io::Error) -> FirstProcessError {
        FirstProcessError::Exec { name: self.name.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_nul_is_refused_by_the_name_of_its_part() {
        let request = |args: &str, env: &str, folder: &str| ExecRequest {
            program: Some("/bin/true".into()),
            args: vec!["true".into(), args.into()],
            env: vec![env.into()],
            folder: folder.into(),
        };
        assert!(Execution::new(request("a", "A=1", "/tmp"), None).is_ok());
        for (request, part) in [
            (request("a\0b", "A=1", "/tmp"), "an argument"),
            (request("a", "A=\0", "/tmp"), "an environment variable"),
            (request("a", "A=1", "\0"), "the working folder's path"),
        ] {
            let Err(error) = Execution::new(request, None) else { panic!("{part}") };
            let text = common::causes::chain(&error);
            assert!(text.starts_with(&format!("{part} contains a NUL byte: ")), "{text}");
        }
    }
}
