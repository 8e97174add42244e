//! The first process of an island, from its fork to its exec.
//!
//! The order matters: descriptors are closed before the jail is entered, which an open folder would forbid; limits are
//! taken while root still may; the user is changed while the jail still allows it, and then the launcher takes that
//! permission away; only then does it wait for what it is to become.

use std::ffi::{CString, c_int};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::freebsd::protocol::JailRequest;
use crate::freebsd::sys;
use crate::launcher::process;
use crate::launcher::wire::{self, ExecRequest, Incoming};

/// What a new first process has in its hands.
pub(super) struct Child<'a> {
    pub(super) prepare: &'a JailRequest,
    pub(super) jid: c_int,
    pub(super) control: OwnedFd,
    /// A byte goes out when the user is changed, and one comes in when the jail is closed.
    pub(super) launcher: OwnedFd,
}

impl Child<'_> {
    /// Becomes an island and then its program. Never returns, so that nothing of the launcher is dropped.
    pub(super) fn run(self) -> ! {
        let control = self.control.as_raw_fd();
        if let Err(reason) = self.become_island() {
            // The server reads the reason when it sees the exit; if it is gone, so is the need.
            let _ = wire::send(control, &reason, &[]);
        }
        sys::exit_now(process::NOT_STARTED)
    }

    fn become_island(&self) -> Result<(), String> {
        self.settle()?;
        let message = Incoming::default()
            .next::<ExecRequest>(self.control.as_raw_fd())
            .map_err(|error| format!("receive the program: {error}"))?;
        // The server no longer wants this island.
        let Some((go, fds)) = message else { sys::exit_now(0) };
        become_program(&go, fds)
    }

    fn settle(&self) -> Result<(), String> {
        let said = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        process::default_signals().map_err(|error| format!("signals: {error}"))?;
        sys::die_with_parent().map_err(said("die with the launcher"))?;
        sys::close_all_but(&mut [self.control.as_raw_fd(), self.launcher.as_raw_fd()]);
        sys::attach(self.jid).map_err(said("enter the jail"))?;
        sys::limit(&self.prepare.bounds).map_err(said("limits"))?;
        if self.prepare.background {
            sys::yield_processor().map_err(said("lower the priority"))?;
        }
        sys::become_user(self.prepare.user).map_err(said("change the user"))?;
        let mut byte = [0];
        let closed = nix::unistd::write(&self.launcher, b"!")
            .and_then(|_| nix::unistd::read(&self.launcher, &mut byte));
        match closed {
            Ok(1) => Ok(()),
            Ok(_) => Err("the jail could not be closed".into()),
            Err(error) => Err(format!("wait for the launcher: {error}")),
        }
    }
}

fn become_program(go: &ExecRequest, fds: Vec<OwnedFd>) -> Result<(), String> {
    let program = process::take_stdio(go, fds)?;
    let text =
        |text: &String| CString::new(text.as_str()).map_err(|_| format!("{text:?} holds a NUL"));
    let args = go.args.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let env = go.env.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let path = text(go.program.as_ref().unwrap_or(&String::new()))?;
    std::env::set_current_dir(&go.folder).map_err(|error| format!("{}: {error}", go.folder))?;
    let error = sys::exec(program.as_ref().map(AsFd::as_fd), &path, &args, &env);
    Err(format!("exec {}: {error}", go.args.first().map_or("", |name| name)))
}
