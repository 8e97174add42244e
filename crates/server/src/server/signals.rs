//! What the server is told by signals, caught from the moment that this is made: none of them ends the program by itself.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGTERM or SIGINT: end in order; the second time, at once.
    Stop,
    /// SIGHUP: read again what can change.
    Reload,
    /// SIGUSR2: make place for the program that is installed now, which gets the sockets.
    HandOver,
}

/// Who gives orders.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    pass_on: Signal,
}

impl Signals {
    /// Catches the signals from now on.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            pass_on: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next order.
    pub async fn next(&mut self) -> Action {
        tokio::select! {
            _ = self.terminate.recv() => Action::Stop,
            _ = self.interrupt.recv() => Action::Stop,
            _ = self.hangup.recv() => Action::Reload,
            _ = self.pass_on.recv() => Action::HandOver,
        }
    }

    /// Resolves when the next one is to stop; others are of no use any more.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Action::Stop {}
    }
}
