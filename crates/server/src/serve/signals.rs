//! Signals to the server. From the moment that [`Signals`] is made, none of them ends the program
//! by itself.
//!
//! A server that hands over blocks them before it becomes the new program. They wait until that
//! program catches them, so that none ends it while it starts.

use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal as Number, sigprocmask};
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
    /// Catches the signals from now on, including signals that wait because the program before this
    /// one, or the parent, has blocked them.
    pub fn catch() -> io::Result<Self> {
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            hand_over: signal(SignalKind::user_defined2())?,
        };
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(signals)
    }

    /// Blocks the signals in this thread, which is about to become another program.
    pub fn block() -> io::Result<()> {
        let all = [Number::SIGTERM, Number::SIGINT, Number::SIGHUP, Number::SIGUSR2];
        let all = SigSet::from_iter(all);
        Ok(sigprocmask(SigmaskHow::SIG_BLOCK, Some(&all), None)?)
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
