//! The launcher's side of [berths](crate::linux::zygote::process): which there are, which are free, and when one is no longer needed.
//!
//! What must always hold: a berth is told to take an island only while it has none; the user of its islands stays the
//! same as long as it lives; an idle berth ends after [`IDLE_TIME`], or when [`MOST_IDLE`] others are idle. The launcher
//! never waits for one.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::Pid;

use crate::launcher::wire::{self, Incoming};
use crate::linux::cgroup::Cgroup;
use crate::linux::protocol::{ForkReport, ForkRequest, ProcessBounds};
use crate::linux::sys::{self, SharedNumber};

/// How long a berth waits for another island. Making one costs about as much as an island of its own would.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// The most berths that wait.
const MOST_IDLE: usize = 64;

/// Names a berth within its launcher.
pub(crate) type Key = u32;

/// All berths of a launcher.
#[derive(Default)]
pub(crate) struct ZygotePool {
    all: HashMap<Key, Zygote>,
    last: Key,
}

/// One berth, as its launcher knows it.
pub(crate) struct Zygote {
    pub(crate) process: Pid,
    pub(crate) pidfd: OwnedFd,
    /// Shut to have it end.
    pub(crate) socket: OwnedFd,
    pub(crate) group: Option<Cgroup>,
    /// Its islands' user on the host.
    pub(crate) host_id: Option<u32>,
    pub(crate) bounds: ProcessBounds,
    /// The first process of its island: negative while it is being waited for, zero when there is none.
    pub(crate) island: SharedNumber,
    incoming: Incoming,
    state: ZygoteStatus,
    is_killed: bool,
}

/// What a berth leaves of the island that it served.
pub(crate) enum ZygoteRemains {
    /// Its first process, which runs, or has ended and was not waited for.
    Running(Pid),
    /// Its first process, which has ended, and which nobody may have waited for.
    Ended(Pid),
    /// Nothing, because we killed it.
    Killed,
    /// Nothing, and nobody knows why.
    Nothing,
}

enum ZygoteStatus {
    /// It serves the island of this name.
    Serves(String),
    IdleSince(Instant),
    /// It is on its way out.
    Ends,
}

impl ZygotePool {
    /// A free berth for such islands. One that has the user but not the bounds is let go.
    pub(crate) fn find(&mut self, host_id: Option<u32>, bounds: &ProcessBounds) -> Option<Key> {
        let idle = self.all.iter_mut().filter_map(|(key, zygote)| match zygote.state {
            ZygoteStatus::IdleSince(since) if zygote.host_id == host_id => {
                Some((since, *key, zygote))
            }
            _ => None,
        });
        let mut found = None;
        for (since, key, zygote) in idle {
            if zygote.bounds == *bounds {
                // The one that was used last, so that those end that are too many.
                found = found.max(Some((since, key)));
            } else if host_id.is_some() {
                zygote.let_go();
            }
        }
        found.map(|(_, key)| key)
    }

    pub(crate) fn add(&mut self, zygote: Zygote) -> (Key, &Zygote) {
        self.last = self.last.wrapping_add(1);
        let key = self.last;
        (key, self.all.entry(key).or_insert(zygote))
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Zygote> {
        self.all.get_mut(&key)
    }

    /// The berth that serves an island.
    pub(crate) fn serving(&mut self, id: &str) -> Option<&mut Zygote> {
        self.all
            .values_mut()
            .find(|zygote| matches!(&zygote.state, ZygoteStatus::Serves(own) if own == id))
    }

    /// Forgets a berth that has ended.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Zygote> {
        self.all.remove(&key)
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Zygote> {
        self.all.drain().map(|(_, zygote)| zygote)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Zygote> {
        self.all.values()
    }

    /// Lets berths go that have been idle for too long or are too many; when it is to be asked again.
    pub(crate) fn trim(&mut self, now: Instant) -> Option<Instant> {
        let mut idle: Vec<_> = self
            .all
            .values_mut()
            .filter_map(|zygote| match zygote.state {
                ZygoteStatus::IdleSince(since) => Some((since + IDLE_TIME, zygote)),
                _ => None,
            })
            .collect();
        idle.sort_unstable_by_key(|(until, _)| *until);
        let surplus = idle.len().saturating_sub(MOST_IDLE);
        for (index, (until, zygote)) in idle.into_iter().enumerate() {
            if index >= surplus && until > now {
                return Some(until);
            }
            zygote.let_go();
        }
        None
    }
}

impl Zygote {
    /// One that was just forked, for whom an island waits.
    pub(crate) fn new(
        (process, pidfd): (Pid, OwnedFd),
        socket: OwnedFd,
        group: Option<Cgroup>,
        (host_id, bounds): (Option<u32>, ProcessBounds),
        island: SharedNumber,
    ) -> Self {
        let (incoming, state) = (Incoming::default(), ZygoteStatus::Ends);
        Self {
            process,
            pidfd,
            socket,
            group,
            host_id,
            bounds,
            island,
            incoming,
            state,
            is_killed: false,
        }
    }

    /// Has it serve an island.
    pub(crate) fn take(&mut self, id: &str, take: &ForkRequest, fds: &[OwnedFd]) -> io::Result<()> {
        let fds: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        wire::send(self.socket.as_raw_fd(), take, &fds)?;
        self.state = ZygoteStatus::Serves(id.to_owned());
        Ok(())
    }

    /// Kills its island.
    pub(crate) fn kill(&mut self) {
        let number = self.island.load(Ordering::SeqCst);
        let island = (number > 0).then(|| sys::open_process(number));
        match island {
            // Its number is taken away before it is waited for, so until then nobody else has it.
            Some(Ok(island)) if self.island.load(Ordering::SeqCst) == number => {
                sys::kill_pidfd(island.as_fd());
            }
            // It has ended, which will be said.
            _ if number < 0 => {}
            // It does not run yet, or no more. A berth that is on its way to fork it cannot be told in time.
            _ => {
                self.is_killed = true;
                sys::kill_pidfd(self.pidfd.as_fd());
            }
        }
    }

    /// The island that it serves, and its first process, once that runs.
    pub(crate) fn serves(&self) -> Option<(String, i32)> {
        let ZygoteStatus::Serves(id) = &self.state else { return None };
        let number = self.island.load(Ordering::SeqCst);
        (number > 0).then(|| (id.clone(), number))
    }

    /// What it has to say of the island of this name, if that came in whole.
    pub(crate) fn hear(&mut self) -> Option<(String, ForkReport)> {
        let (report, _) = match self.incoming.next_now::<ForkReport>(self.socket.as_raw_fd()) {
            Ok(Some(message)) => message,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Ok(None) | Err(_) => {
                // Its end says what became of its island.
                if let ZygoteStatus::IdleSince(_) = self.state {
                    self.state = ZygoteStatus::Ends;
                }
                return None;
            }
        };
        // One that was killed had said this before: its island was to end, and had ended by itself.
        let is_free = report.free && !self.is_killed;
        let next =
            if is_free { ZygoteStatus::IdleSince(Instant::now()) } else { ZygoteStatus::Ends };
        match std::mem::replace(&mut self.state, next) {
            ZygoteStatus::Serves(id) => Some((id, report)),
            _ => None,
        }
    }

    /// The island that it served when it ended.
    pub(crate) fn left(&mut self) -> Option<(String, ZygoteRemains)> {
        let ZygoteStatus::Serves(id) = std::mem::replace(&mut self.state, ZygoteStatus::Ends)
        else {
            return None;
        };
        let left = match self.island.load(Ordering::SeqCst) {
            process @ 1.. => ZygoteRemains::Running(Pid::from_raw(process)),
            process @ ..=-1 => ZygoteRemains::Ended(Pid::from_raw(-process)),
            _ if self.is_killed => ZygoteRemains::Killed,
            _ => ZygoteRemains::Nothing,
        };
        Some((id, left))
    }

    pub(crate) fn let_go(&mut self) {
        // A copy that a process which was just forked has not closed yet would keep a closed one open.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
        self.state = ZygoteStatus::Ends;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Exit;

    const BOUNDS: ProcessBounds =
        ProcessBounds { memory: 0, processes: 0, tmp: 0, files: 0, file_size: 0 };

    #[test]
    fn a_berth_that_was_killed_gets_no_other_island_though_it_said_that_it_is_free() {
        for kills in [false, true] {
            let mut process = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            let pid = Pid::from_raw(process.id().cast_signed());
            let pidfd = sys::open_process(pid.as_raw()).unwrap();
            let (near, far) = wire::pair().unwrap();
            let island = SharedNumber::new().unwrap();
            let zygote = Zygote::new((pid, pidfd), near, None, (None, BOUNDS), island);
            let mut zygotes = ZygotePool::default();
            let (key, _) = zygotes.add(zygote);
            let (control, _) = wire::pair().unwrap();
            let zygote = zygotes.get_mut(key).unwrap();
            zygote.take("si_1", &ForkRequest { go: None }, &[control]).unwrap();
            let end = Ok(Exit { code: Some(0), signal: None, oom: false });
            wire::send(far.as_raw_fd(), &ForkReport { end, free: true }, &[]).unwrap();
            if kills {
                zygotes.serving("si_1").unwrap().kill();
            }
            let (id, report) = zygotes.get_mut(key).unwrap().hear().unwrap();
            assert_eq!((id.as_str(), report.end.unwrap().code), ("si_1", Some(0)));
            assert_eq!(zygotes.find(None, &BOUNDS).is_some(), !kills);
            let _ = process.kill();
            process.wait().unwrap();
        }
    }
}
