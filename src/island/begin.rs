//! What the launchers of both systems, and the first processes of their islands, begin with.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};

/// The exit status of a process that never became its program; the control socket holds the reason.
pub(crate) const NOT_STARTED: c_int = 125;

/// The socket that is a launcher's stdin, which then reads as empty.
pub(crate) fn socket_on_stdin() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    duplicate(&null, 0)?;
    Ok(socket)
}

/// Has a launcher outlive the signals that whoever stops a service sends to all its processes: it ends when the server does.
pub(crate) fn ignore_stops() -> nix::Result<()> {
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// Undoes what the launcher's runtime set and a program would inherit.
pub(crate) fn default_signals() -> nix::Result<()> {
    for changed in [Signal::SIGPIPE, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: restoring a default disposition installs no handler.
        unsafe { signal(changed, SigHandler::SigDfl) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Takes the first three descriptors as stdin, stdout and stderr, and gives back the program's, where there is one.
pub(crate) fn take_stdio(fds: Vec<OwnedFd>) -> Result<Option<OwnedFd>, String> {
    let mut fds = fds.into_iter();
    for number in 0..3 {
        let fd = fds.next().ok_or("the program came without its descriptors")?;
        duplicate(&fd, number).map_err(|error| format!("dup2: {error}"))?;
    }
    Ok(fds.next())
}

fn duplicate(fd: &impl AsRawFd, number: RawFd) -> io::Result<()> {
    // SAFETY: `number` is 0, 1 or 2, which nothing in this process owns.
    match unsafe { libc::dup2(fd.as_raw_fd(), number) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
