//! The first steps of the launchers of all systems, and of the first processes of their islands.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::stat::{SFlag, fstat};

use crate::launcher::wire::ExecRequest;

/// The exit status of a process that never became its program. The control socket or its zygote has
/// the reason.
pub(crate) const NOT_STARTED: c_int = 125;

/// The descriptor of the call channel. Launchers and islands open it from their start on, so that
/// nothing else has the number when the channel comes. It closes on exec like all descriptors.
pub(crate) const LINE: RawFd = 3;

/// Takes the socket that is a launcher's stdin, which then reads as empty. A launcher does this
/// before anything else.
pub(crate) fn socket_on_stdin() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: only the standard library uses stdin's number, and never closes it.
    unsafe { duplicate(&null, 0, 0) }?;
    let socket = above(socket)?;
    // No value owns that number: it stays open for as long as this process lives.
    match null.into_raw_fd() {
        LINE => {}
        null => {
            // SAFETY: a launcher has opened nothing before this, so the number is free.
            unsafe { duplicate(&null, LINE, libc::O_CLOEXEC) }?;
            nix::unistd::close(null)?;
        }
    }
    Ok(socket)
}

/// Makes a launcher ignore the signals that a service manager sends to all processes of a service.
/// The launcher ends when the server does.
pub(crate) fn ignore_stops() -> nix::Result<()> {
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// Restores the signal dispositions and the mask that a program would inherit from the launcher's
/// runtime.
pub(crate) fn default_signals() -> nix::Result<()> {
    for changed in [Signal::SIGPIPE, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: restoring a default disposition installs no handler.
        unsafe { signal(changed, SigHandler::SigDfl) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Gives the program's descriptors their numbers, from 0 on: stdin, stdout, stderr and, if there is
/// one, the call channel. Returns the descriptor of the program itself, which comes last where
/// `request` names no path.
///
/// # Safety
///
/// As for [`place_stdio`].
pub(crate) unsafe fn take_stdio(
    request: &ExecRequest,
    mut fds: Vec<OwnedFd>,
) -> Result<Option<OwnedFd>, String> {
    let program = if request.program.is_none() { fds.pop() } else { None };
    // SAFETY: the caller promises what this needs.
    unsafe { place_stdio(&fds) }?;
    Ok(program)
}

/// Gives stdin, stdout, stderr and, if there is one, the call channel their numbers.
///
/// # Safety
///
/// No value of this process owns a number up to [`LINE`]: the process descends from a launcher that
/// called [`socket_on_stdin`] first.
pub(crate) unsafe fn place_stdio(fds: &[OwnedFd]) -> Result<(), String> {
    if !(3..=4).contains(&fds.len()) {
        return Err(format!("a program needs 3 or 4 descriptors, and {} came", fds.len()));
    }
    for (fd, number) in fds.iter().zip(0..) {
        // SAFETY: no value owns a number up to LINE, as the caller promises.
        let duplicated = unsafe { duplicate(fd, number, 0) };
        duplicated.map_err(|error| format!("dup3: {error}"))?;
    }
    // SAFETY: as above.
    unsafe { own_input() }.map_err(|error| format!("/dev/null as stdin: {error}"))
}

/// Replaces a stdin that is a device of the host, for an input without bytes, by the island's own:
/// the island could lock the host's.
///
/// # Safety
///
/// As for [`place_stdio`].
unsafe fn own_input() -> io::Result<()> {
    let kind = SFlag::from_bits_truncate(fstat(io::stdin())?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFCHR {
        return Ok(());
    }
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: only the standard library uses stdin's number, and never closes it.
    unsafe { duplicate(&null, 0, 0) }
}

/// The same file under a number above [`LINE`].
fn above(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > LINE {
        return Ok(fd);
    }
    let number = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(LINE + 1))?;
    // SAFETY: fcntl made the descriptor just now, and no other value owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Duplicates a descriptor to another number, and closes what had that number.
///
/// # Safety
///
/// No value owns `number`.
unsafe fn duplicate(fd: &impl AsRawFd, number: RawFd, flags: c_int) -> io::Result<()> {
    // SAFETY: no value owns `number`, as the caller promises.
    match unsafe { libc::dup3(fd.as_raw_fd(), number, flags) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
