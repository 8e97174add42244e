//! The events that a launcher waits for: messages from its server and its zygotes, and the ends of
//! its child processes.
//!
//! Invariants: a process's descriptor is removed before it is closed, because a copy of the
//! descriptor in a process that was just forked would keep the event alive. A zygote's socket is
//! edge-triggered, so that such a copy of the socket does no harm.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::Pid;

use crate::linux::zygote::pool::Key;

/// The most events of one [`Watch::wait`].
const BATCH: usize = 64;

/// The descriptors that a launcher waits for, each with its event.
pub(crate) struct Watch {
    epoll: Epoll,
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The server has sent a message, or is gone.
    Server,
    /// The first process of an island that is the launcher's own child has ended.
    Ended(Pid),
    /// A zygote has sent a message.
    ZygoteReport(Key),
    /// A zygote has ended.
    ZygoteEnded(Key),
}

impl Ready {
    fn number(self) -> u64 {
        let (kind, number) = match self {
            Self::Server => (0, 0),
            Self::Ended(pid) => (1, pid.as_raw() as u32),
            Self::ZygoteReport(key) => (2, key),
            Self::ZygoteEnded(key) => (3, key),
        };
        kind << 32 | u64::from(number)
    }

    fn of(number: u64) -> Self {
        let low = number as u32;
        match number >> 32 {
            0 => Self::Server,
            1 => Self::Ended(Pid::from_raw(low as i32)),
            2 => Self::ZygoteReport(low),
            _ => Self::ZygoteEnded(low),
        }
    }
}

impl Watch {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Has [`Watch::wait`] return the event each time, as long as the descriptor is readable.
    pub(crate) fn add(&self, fd: &OwnedFd, ready: Ready) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, ready.number()))?)
    }

    /// Has [`Watch::wait`] return the event once each time that more has arrived.
    pub(crate) fn add_edge(&self, fd: &OwnedFd, ready: Ready) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        Ok(self.epoll.add(fd, EpollEvent::new(flags, ready.number()))?)
    }

    pub(crate) fn remove(&self, fd: &OwnedFd) {
        // A descriptor that was never added needs no removal.
        let _ = self.epoll.delete(fd.as_fd());
    }

    /// The events that have happened; none if none happens within `time`.
    pub(crate) fn wait(&self, time: Option<Duration>) -> nix::Result<Vec<Ready>> {
        // Rounded up, so that the last millisecond is no busy loop.
        let round = |time: Duration| time.as_micros().div_ceil(1000).min(60_000) as u16;
        let timeout = time.map_or(EpollTimeout::NONE, |time| EpollTimeout::from(round(time)));
        let mut events = [EpollEvent::empty(); BATCH];
        match self.epoll.wait(&mut events, timeout) {
            Ok(count) => Ok(events[..count].iter().map(|event| Ready::of(event.data())).collect()),
            Err(nix::Error::EINTR) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_from_its_number() {
        let all = [
            Ready::Server,
            Ready::Ended(Pid::from_raw(i32::MAX)),
            Ready::ZygoteReport(0),
            Ready::ZygoteReport(u32::MAX),
            Ready::ZygoteEnded(7),
        ];
        assert_eq!(all.map(|ready| Ready::of(ready.number())), all);
    }
}
