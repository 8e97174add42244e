//! An island that a launcher makes, until it is told what to become and after that: its control socket and its end.
//!
//! What must always hold: a program's own end is told from a failure to become it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::backend::{Exit, StartError};
use crate::id::IslandId;
use crate::launcher::client::LauncherClient;
use crate::launcher::uids::Uid;
use crate::launcher::wire::{self, Incoming};
use crate::linux::MADE_WAIT;
use crate::linux::protocol::{IslandRequest, MADE};

/// An island that waits to be told what to become.
pub(super) struct Prepared {
    pub(super) id: IslandId,
    pub(super) control: OwnedFd,
    /// What has come in on `control`.
    said: Incoming,
    pub(super) exit: oneshot::Receiver<Result<Exit, String>>,
}

/// Has a launcher make an island.
pub(super) fn prepare_by(
    link: &LauncherClient,
    prepare: IslandRequest,
    uid: Option<Uid>,
) -> Result<Prepared, StartError> {
    let (control, far) = wire::pair().map_err(StartError::Descriptors)?;
    let Some(id) = IslandId::parse(&prepare.id) else {
        return Err(StartError::Refused(format!("{} is no island's name", prepare.id)));
    };
    let exit = link.prepare(&id, prepare, vec![far], uid)?;
    Ok(Prepared { id, control, said: Incoming::default(), exit })
}

impl Prepared {
    /// The network namespace, which the launcher sends before the island goes on.
    pub(super) async fn namespace(&mut self) -> std::io::Result<OwnedFd> {
        // SAFETY: the borrowed descriptor is `self.control`, open and the same for longer than the AsyncFd lives.
        let control = unsafe { AsyncFd::register(self.control.as_fd()) }?;
        let said = &mut self.said;
        let mut receive = |socket: &BorrowedFd<'_>| said.next_now::<String>(socket.as_raw_fd());
        match control.async_io(Interest::READABLE, &mut receive).await? {
            Some((token, fds)) if token == MADE => {
                fds.into_iter().next().ok_or_else(|| std::io::Error::other("it came without one"))
            }
            Some((reason, _)) => Err(std::io::Error::other(reason)),
            None => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Waits for the end of an island that was told at once what to become.
pub(super) async fn end_of(
    end: oneshot::Receiver<Result<Exit, String>>,
) -> Result<Exit, StartError> {
    match end.await {
        Ok(end) => end.map_err(StartError::Refused),
        Err(_) => Err(StartError::Launcher("it forgot an island".into())),
    }
}

/// Why an island never had a network, which its end tells.
pub(super) async fn lost(prepared: Prepared, error: std::io::Error) -> StartError {
    match timeout(MADE_WAIT, wait(prepared, Some(error))).await {
        Ok(Err(reason)) => reason,
        _ => StartError::Refused("it ended before it had a network".into()),
    }
}

/// Waits for the end of an island and tells a program's end from a failure to become it.
pub(super) async fn wait(
    prepared: Prepared,
    unsent: Option<std::io::Error>,
) -> Result<Exit, StartError> {
    let Prepared { id: _, control, said: mut incoming, exit } = prepared;
    let exit = end_of(exit).await?;
    if exit.code == Some(0) && unsent.is_none() {
        return Ok(exit);
    }
    // The control socket closes on exec, so what it holds now was written by our own code.
    nix::fcntl::fcntl(&control, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .map_err(|error| StartError::Descriptors(error.into()))?;
    let mut said = incoming.next::<String>(control.as_raw_fd());
    // A reset says that the program was never taken up; what the process said before lies behind it.
    let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    let never_taken = said.as_ref().is_err_and(reset);
    if never_taken {
        said = incoming.next(control.as_raw_fd());
    }
    match (said, unsent) {
        (Ok(Some((reason, _))), _) => Err(StartError::Refused(reason)),
        (_, Some(error)) => Err(StartError::Descriptors(error)),
        (_, None) if never_taken => Err(StartError::Refused("it ended before it began".into())),
        (_, None) => Ok(exit),
    }
}
