//! An island that a launcher makes: its control socket and its end.
//!
//! Invariants: the end of a program is never taken for a failure to start the program, and the
//! reverse.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::backend::{Exit, StartError};
use crate::id::IslandId;
use crate::launcher::client::LauncherClient;
use crate::launcher::uids::Uid;
use crate::launcher::wire::{self, ExecRequest, Incoming};
use crate::linux::protocol::{IslandRequest, MADE};

/// How long a launcher may take to make an island with an address.
const MADE_WAIT: Duration = Duration::from_secs(10);
/// How long an island may take to read the request that names its program.
const SEND_WAIT: Duration = Duration::from_secs(10);

/// Why an island that a launcher was asked for never ran its program.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// The launcher takes too long.
    #[error("the launcher did not make the island within {MADE_WAIT:?}")]
    Late,
    /// The island has ended too early.
    #[error("the island ended before it had a network")]
    NoNetwork,
    /// The island has ended too early.
    #[error("the island ended before it started the program")]
    NotStarted,
}

impl From<PrepareError> for StartError {
    fn from(error: PrepareError) -> Self {
        Self::Step { step: "preparing the island", source: Box::new(error) }
    }
}

/// An island that waits on its control socket for the request that names its program.
pub(super) struct Prepared {
    pub(super) id: IslandId,
    control: OwnedFd,
    /// The messages that have arrived on `control`.
    incoming: Incoming,
    pub(super) exit: oneshot::Receiver<Result<Exit, String>>,
}

impl Prepared {
    /// Has a launcher make the island `id`.
    pub(super) fn by(
        launcher: &LauncherClient,
        id: IslandId,
        request: IslandRequest,
        uid: Option<Uid>,
    ) -> Result<Self, StartError> {
        let (control, far) = wire::pair().map_err(StartError::Descriptors)?;
        let exit = launcher.prepare(&id, request, vec![far], uid)?;
        Ok(Self { id, control, incoming: Incoming::default(), exit })
    }

    /// Waits for the island's network namespace, which the launcher sends before the island
    /// continues.
    pub(super) async fn namespace(mut self) -> Result<(Self, OwnedFd), StartError> {
        match timeout(MADE_WAIT, self.receive_namespace()).await {
            Ok(Ok(namespace)) => Ok((self, namespace)),
            // The island's end tells why it never had a network.
            Ok(Err(error)) => match timeout(MADE_WAIT, self.wait(Some(error))).await {
                Ok(Err(reason)) => Err(reason),
                _ => Err(PrepareError::NoNetwork.into()),
            },
            Err(_) => Err(PrepareError::Late.into()),
        }
    }

    async fn receive_namespace(&mut self) -> io::Result<OwnedFd> {
        // SAFETY: the borrowed descriptor is `self.control`, which stays open, and the same, for
        // longer than the AsyncFd lives.
        let control = unsafe { AsyncFd::register(self.control.as_fd()) }?;
        let incoming = &mut self.incoming;
        let mut receive = |socket: &BorrowedFd<'_>| incoming.next_now::<String>(socket.as_raw_fd());
        match control.async_io(Interest::READABLE, &mut receive).await? {
            Some((token, fds)) if token == MADE => fds
                .into_iter()
                .next()
                .ok_or_else(|| io::Error::other("the launcher sent no network namespace")),
            Some((reason, _)) => Err(io::Error::other(reason)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Sends the request that names the program, with the program's descriptors.
    pub(super) async fn send(
        &self,
        request: &ExecRequest,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        wire::send_within(self.control.as_fd(), request, fds, SEND_WAIT).await
    }

    /// Waits for the end of the island. `unsent` is the error of [`Prepared::send`], if it failed.
    pub(super) async fn wait(self, unsent: Option<io::Error>) -> Result<Exit, StartError> {
        let Self { id: _, control, mut incoming, exit } = self;
        let exit = end_of(exit).await?;
        if exit.code == Some(0) && unsent.is_none() {
            return Ok(exit);
        }
        // The control socket closes on exec, so only code of this program can have written to it.
        nix::fcntl::fcntl(&control, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
            .map_err(|error| StartError::Descriptors(error.into()))?;
        let mut said = incoming.next::<String>(control.as_raw_fd());
        // A reset means that the island never read the request. The island's own message, if there
        // is one, follows after the reset.
        let reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        let never_read = said.as_ref().is_err_and(reset);
        if never_read {
            said = incoming.next(control.as_raw_fd());
        }
        match (said, unsent) {
            (Ok(Some((reason, _))), _) => Err(StartError::Refused(reason)),
            (_, Some(error)) => Err(StartError::Descriptors(error)),
            (_, None) if never_read => Err(PrepareError::NotStarted.into()),
            (_, None) => Ok(exit),
        }
    }
}

/// Waits for the end of an island whose request carried its program.
pub(super) async fn end_of(
    end: oneshot::Receiver<Result<Exit, String>>,
) -> Result<Exit, StartError> {
    match end.await {
        Ok(end) => end.map_err(StartError::Refused),
        Err(_) => Err(StartError::Launcher("the launcher has lost track of an island".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_island_that_does_not_read_its_program_stops_no_thread_of_the_server() {
        let (sender, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build().unwrap();
            let (control, _far) = wire::pair().unwrap();
            let small = nix::sys::socket::sockopt::SndBuf;
            nix::sys::socket::setsockopt(&control, small, &4096).unwrap();
            let (_sender, exit) = oneshot::channel();
            let incoming = Incoming::default();
            let prepared = Prepared { id: IslandId::mint(), control, incoming, exit };
            let request = ExecRequest {
                program: None,
                args: vec!["x".repeat(100_000)],
                env: Vec::new(),
                folder: "/".into(),
            };
            let sent = runtime.block_on(prepared.send(&request, &[]));
            let _ = sender.send(sent.map_err(|error| (error.kind(), error.to_string())));
        });
        let answer = answer.recv_timeout(Duration::from_secs(5));
        let sent = answer.expect("the thread goes on");
        let text = "not read within 10s".to_owned();
        assert_eq!(sent, Err((io::ErrorKind::TimedOut, text)));
    }
}
