//! What the launchers of both systems, and the first processes of their islands, begin with.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};

use crate::launcher::wire::ExecRequest;

/// The exit status of a process that never became its program; the control socket, or its berth, has the reason.
pub(crate) const NOT_STARTED: c_int = 125;

/// The descriptor on which a function's program is called. In launchers and islands it is taken from the
/// start, so that nothing else has that number when the program's comes; it closes on exec, as all of them do.
pub(crate) const LINE: RawFd = 3;

/// The socket that is a launcher's stdin, which then reads as empty. The first thing that a launcher does.
pub(crate) fn socket_on_stdin() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    duplicate(&null, 0, 0)?;
    let socket = above(socket)?;
    // Nobody owns that number: it stays open for as long as this process lives.
    match null.into_raw_fd() {
        LINE => {}
        null => {
            duplicate(&null, LINE, libc::O_CLOEXEC)?;
            nix::unistd::close(null)?;
        }
    }
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

/// Takes the descriptors that a program is to have, from 0 on: stdin, stdout, stderr and, where it is called on one, its
/// line. Gives back the program's own, which comes last where `go` names no path.
pub(crate) fn take_stdio(
    go: &ExecRequest,
    mut fds: Vec<OwnedFd>,
) -> Result<Option<OwnedFd>, String> {
    let program = if go.program.is_none() { fds.pop() } else { None };
    place_stdio(&fds)?;
    Ok(program)
}

/// Gives stdin, stdout, stderr and, where there is one, the line their numbers.
pub(crate) fn place_stdio(fds: &[OwnedFd]) -> Result<(), String> {
    if !(3..=4).contains(&fds.len()) {
        return Err("the program came without its descriptors".into());
    }
    for (fd, number) in fds.iter().zip(0..) {
        duplicate(fd, number, 0).map_err(|error| format!("dup3: {error}"))?;
    }
    Ok(())
}

/// The same file under a number above [`LINE`].
fn above(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > LINE {
        return Ok(fd);
    }
    let number = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(LINE + 1))?;
    // SAFETY: fcntl made it just now, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Gives a descriptor a number, which is another one.
fn duplicate(fd: &impl AsRawFd, number: RawFd, flags: c_int) -> io::Result<()> {
    // SAFETY: `number` is at most LINE, which nothing in this process owns.
    match unsafe { libc::dup3(fd.as_raw_fd(), number, flags) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
