//! Signals to the server. From the moment that [`Signals`] is made, none of them ends the program
//! by itself.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal makes the server do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGTERM or SIGINT: end in order; the second time, at once.
    Stop,
    /// SIGHUP: read the configuration and the certificate again.
    Reload,
    /// SIGUSR2: hand the sockets over to the program that is installed now, and end.
    HandOver,
}

/// The signals that the server obeys.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    hand_over: Signal,
}

impl Signals {
    /// Catches the signals from now on.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            hand_over: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Action {
        tokio::select! {
            _ = self.terminate.recv() => Action::Stop,
            _ = self.interrupt.recv() => Action::Stop,
            _ = self.hangup.recv() => Action::Reload,
            _ = self.hand_over.recv() => Action::HandOver,
        }
    }

    /// Waits for a signal to stop, and ignores the others.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Action::Stop {}
    }
}
