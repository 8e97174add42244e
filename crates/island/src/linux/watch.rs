//! What a launcher waits for: its server, the ends of what it has forked, and what its berths have to say.
//!
//! What must always hold: a process is taken out before its descriptor is closed, because a copy of that in a process
//! that was just forked would keep it in; a berth's socket tells only of what is new, so that a copy does no harm.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::Pid;

use crate::linux::zygote::pool::Key;

/// The most events that are handled before it looks again.
const BATCH: usize = 64;

pub(crate) struct Watch {
    epoll: Epoll,
}

/// Something that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The server has said something, or is gone.
    Server,
    /// The first process of an island that is the launcher's own child has ended.
    Ended(Pid),
    /// A berth has said something.
    ExecProgress(Key),
    /// A berth has ended.
    BerthEnded(Key),
}

impl Ready {
    fn number(self) -> u64 {
        let (kind, number) = match self {
            Self::Server => (0, 0),
            Self::Ended(pid) => (1, pid.as_raw() as u32),
            Self::ExecProgress(key) => (2, key),
            Self::BerthEnded(key) => (3, key),
        };
        kind << 32 | u64::from(number)
    }

    fn of(number: u64) -> Self {
        let low = number as u32;
        match number >> 32 {
            0 => Self::Server,
            1 => Self::Ended(Pid::from_raw(low as i32)),
            2 => Self::ExecProgress(low),
            _ => Self::BerthEnded(low),
        }
    }
}

impl Watch {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Has [`Watch::wait`] tell of this, as long as the descriptor is readable.
    pub(crate) fn add(&self, fd: &OwnedFd, ready: Ready) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, ready.number()))?)
    }

    /// Has it told once each time that there is more to be read.
    pub(crate) fn add_news(&self, fd: &OwnedFd, ready: Ready) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        Ok(self.epoll.add(fd, EpollEvent::new(flags, ready.number()))?)
    }

    pub(crate) fn remove(&self, fd: &OwnedFd) {
        // One that was never added is as good as taken out.
        let _ = self.epoll.delete(fd.as_fd());
    }

    /// What has happened; nothing if nothing does within that time.
    pub(crate) fn wait(&self, time: Option<Duration>) -> nix::Result<Vec<Ready>> {
        // Rounded up, so as not to spin through the last millisecond.
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
    fn what_has_happened_reads_back_from_its_number() {
        let all = [
            Ready::Server,
            Ready::Ended(Pid::from_raw(i32::MAX)),
            Ready::ExecProgress(0),
            Ready::ExecProgress(u32::MAX),
            Ready::BerthEnded(7),
        ];
        assert_eq!(all.map(|ready| Ready::of(ready.number())), all);
    }
}
