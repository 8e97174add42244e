//! Sockets that a server that has ended hands over to the program that takes over, by the protocol
//! of sd_listen_fds(3).

use std::convert::Infallible;
use std::ffi::{CString, NulError, OsString};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

use super::listener::Listener;
use super::passed::FIRST;

/// The variables that say how many sockets are passed, to which process, and by which names.
const COUNT: &str = "LISTEN_FDS";
const PROCESS: &str = "LISTEN_PID";
const NAMES: &str = "LISTEN_FDNAMES";

/// The open sockets of a server that has ended.
#[derive(Debug)]
pub struct HandOverSockets {
    sockets: Vec<OwnedFd>,
    names: Vec<String>,
}

impl HandOverSockets {
    /// Takes the sockets of these listeners. The files of Unix sockets stay.
    pub fn of(listeners: Vec<Listener>) -> io::Result<Self> {
        let parts: Vec<_> =
            listeners.into_iter().map(Listener::into_parts).collect::<Result<_, _>>()?;
        let (sockets, names) = parts.into_iter().unzip();
        Ok(Self { sockets, names })
    }

    /// Replaces this process by another program, with these sockets and this process's arguments,
    /// environment and process id. Connections that wait in the queues of the sockets stay there.
    ///
    /// Returns only where that fails. The process has to end then, for its lower descriptors may
    /// have been replaced. Nothing else may run in the process any more.
    pub fn exec(self, program: &Path) -> io::Result<Infallible> {
        let program = c_string(program.as_os_str().to_owned())?;
        let arguments = std::env::args_os().map(c_string).collect::<Result<Vec<_>, _>>()?;
        let environment = environment(std::env::vars_os(), std::process::id(), &self.names)?;
        assign_descriptors(&self.sockets)?;
        Ok(nix::unistd::execve(&program, &arguments, &environment)?)
    }
}

/// Gives the sockets the descriptors from 3 on.
fn assign_descriptors(sockets: &[OwnedFd]) -> io::Result<()> {
    let end = FIRST + RawFd::try_from(sockets.len()).map_err(io::Error::other)?;
    // First to descriptors behind all of them: a socket may have the descriptor that another one is
    // to get.
    let aside: Vec<RawFd> = sockets
        .iter()
        .map(|socket| fcntl(socket, FcntlArg::F_DUPFD_CLOEXEC(end)))
        .collect::<Result<_, _>>()?;
    for (socket, descriptor) in aside.into_iter().zip(FIRST..) {
        // SAFETY: both are numbers. A file that had the descriptor is not used any more: the
        // process becomes another program or ends.
        if unsafe { libc::dup2(socket, descriptor) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn environment(
    current: impl Iterator<Item = (OsString, OsString)>,
    process: u32,
    names: &[String],
) -> Result<Vec<CString>, NulError> {
    let kept = current.filter(|(key, _)| ![COUNT, PROCESS, NAMES].iter().any(|name| key == name));
    let pair = |(mut key, value): (OsString, OsString)| {
        key.push("=");
        key.push(value);
        c_string(key)
    };
    let ours = [
        (COUNT.into(), names.len().to_string().into()),
        (PROCESS.into(), process.to_string().into()),
        (NAMES.into(), names.join(":").into()),
    ];
    kept.chain(ours).map(pair).collect()
}

fn c_string(text: OsString) -> Result<CString, NulError> {
    CString::new(text.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_sockets_that_are_passed_now_and_no_earlier_ones() {
        let current = [("PATH", "/bin"), (COUNT, "7"), (PROCESS, "1"), (NAMES, "x")];
        let current = current.map(|(key, value)| (key.into(), value.into())).into_iter();
        let made = environment(current, 42, &["a".to_owned(), "b".to_owned()]).unwrap();
        let made: Vec<_> = made.iter().map(|pair| pair.to_str().unwrap()).collect();
        assert_eq!(made, ["PATH=/bin", "LISTEN_FDS=2", "LISTEN_PID=42", "LISTEN_FDNAMES=a:b"]);
    }
}
