//! The first process of an island, from its fork to its exec.
//!
//! Invariants, in this order: the process closes foreign descriptors before it enters the jail, for
//! jail_attach(2) refuses a process with an open folder; it takes its limits while root still may;
//! it changes its user while the jail still allows that, and then the launcher takes `allow.suser`
//! away; only then does it wait for the program that it is to become.

use std::ffi::{CString, NulError, c_int};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::causes::chain;

use crate::freebsd::protocol::JailRequest;
use crate::freebsd::sys;
use crate::launcher::process;
use crate::launcher::wire::{self, ExecRequest, Incoming};

/// Why a first process did not become its island's program.
#[derive(Debug, thiserror::Error)]
enum ChildError {
    /// A step of entering the jail failed.
    #[error("the first process cannot {step}")]
    Step {
        /// What the process was to do.
        step: &'static str,
        #[source]
        cause: std::io::Error,
    },
    /// The launcher ended the conversation before the jail was closed.
    #[error("the launcher did not take allow.suser from the jail")]
    NotClosed,
    /// The request that names the program cannot be read.
    #[error("the request to execute a program cannot be received")]
    Receive(#[source] std::io::Error),
    /// The program's descriptors are missing or cannot be placed.
    #[error("the program's descriptors cannot be placed: {0}")]
    Descriptors(String),
    /// A text of the request holds a NUL byte.
    #[error("an argument, an environment variable or the path holds a NUL byte")]
    Nul(#[source] NulError),
    /// The working directory of the request cannot be entered.
    #[error("the working directory {folder} cannot be entered")]
    Folder {
        /// The folder as the island sees it.
        folder: String,
        #[source]
        cause: std::io::Error,
    },
    /// execve(2) or fexecve(2) failed.
    #[error("{program} cannot be executed")]
    Exec {
        /// The program's first argument.
        program: String,
        #[source]
        cause: std::io::Error,
    },
}

/// A new first process.
pub(super) struct Child<'a> {
    pub(super) prepare: &'a JailRequest,
    pub(super) jid: c_int,
    pub(super) control: OwnedFd,
    /// The process writes a byte when it has changed its user, and reads one when the jail is
    /// closed.
    pub(super) launcher: OwnedFd,
}

impl Child<'_> {
    /// Enters the jail and becomes the island's program. Never returns, so that nothing of the
    /// launcher is dropped.
    ///
    /// # Safety
    ///
    /// This process is a child that fork(2) has just made of a process with a single thread, and no
    /// other code of its parent runs in it: this function closes descriptors that values of the
    /// parent own.
    pub(super) unsafe fn run(self) -> ! {
        let control = self.control.as_raw_fd();
        // SAFETY: the caller promises what this needs.
        if let Err(error) = unsafe { self.become_island() } {
            // The server reads the reason when it sees the exit; a server that is gone needs none.
            let _ = wire::send(control, &chain(&error), &[]);
        }
        sys::exit_now(process::NOT_STARTED)
    }

    /// # Safety
    ///
    /// As for [`Child::run`].
    unsafe fn become_island(&self) -> Result<(), ChildError> {
        // SAFETY: the caller promises what this needs.
        unsafe { self.settle() }?;
        let message = Incoming::default()
            .next::<ExecRequest>(self.control.as_raw_fd())
            .map_err(ChildError::Receive)?;
        // The server no longer wants this island.
        let Some((go, fds)) = message else { sys::exit_now(0) };
        become_program(&go, fds)
    }

    /// Enters the jail, takes the limits and changes the user.
    ///
    /// # Safety
    ///
    /// As for [`Child::run`].
    unsafe fn settle(&self) -> Result<(), ChildError> {
        let failed = |step: &'static str| move |cause| ChildError::Step { step, cause };
        let signals = process::default_signals().map_err(std::io::Error::from);
        signals.map_err(failed("restore the default signals"))?;
        sys::die_with_parent().map_err(failed("ask to be killed when the launcher ends"))?;
        // SAFETY: values of the launcher own these descriptors, and the caller promises that no
        // code of the launcher uses them in this process.
        unsafe { sys::close_all_but(&mut [self.control.as_raw_fd(), self.launcher.as_raw_fd()]) };
        sys::attach(self.jid).map_err(failed("enter its jail"))?;
        sys::limit(&self.prepare.bounds).map_err(failed("take its resource limits"))?;
        if self.prepare.background {
            sys::yield_processor().map_err(failed("lower its priority"))?;
        }
        sys::become_user(self.prepare.user).map_err(failed("change its user"))?;
        let mut byte = [0];
        let closed = nix::unistd::write(&self.launcher, b"!")
            .and_then(|_| nix::unistd::read(&self.launcher, &mut byte));
        match closed {
            Ok(1) => Ok(()),
            Ok(_) => Err(ChildError::NotClosed),
            Err(error) => Err(failed("wait for the launcher to close the jail")(error.into())),
        }
    }
}

fn become_program(go: &ExecRequest, fds: Vec<OwnedFd>) -> Result<(), ChildError> {
    // SAFETY: this process descends from a launcher that took its socket from stdin.
    let program = unsafe { process::take_stdio(go, fds) }.map_err(ChildError::Descriptors)?;
    let text = |text: &String| CString::new(text.as_str()).map_err(ChildError::Nul);
    let args = go.args.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let env = go.env.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let path = text(go.program.as_ref().unwrap_or(&String::new()))?;
    std::env::set_current_dir(&go.folder)
        .map_err(|cause| ChildError::Folder { folder: go.folder.clone(), cause })?;
    let cause = sys::exec(program.as_ref().map(AsFd::as_fd), &path, &args, &env);
    let program = go.args.first().cloned().unwrap_or_default();
    Err(ChildError::Exec { program, cause })
}
