//! The launcher's side of [zygotes](crate::linux::zygote::process): which ones there are, which are
//! idle, and when an idle one ends.
//!
//! Invariants: a zygote is given an island only while it has none. The user of a zygote's islands
//! never changes. An idle zygote ends after [`IDLE_TIME`], or when [`MOST_IDLE`] others are idle.
//! The launcher waits at most [`SEND_WAIT`] for a zygote.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::Pid;

use crate::launcher::wire::{Incoming, Outgoing};
use crate::linux::cgroup::group::Cgroup;
use crate::linux::fork::SharedNumber;
use crate::linux::protocol::{ForkReport, ForkRequest, ProcessBounds};
use crate::linux::sys;

/// How long an idle zygote waits for another island. A new zygote costs about as much as an island
/// with namespaces of its own.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// How long a zygote may take to read a request that does not fit into the socket's buffer.
const SEND_WAIT: Duration = Duration::from_millis(250);
/// The most idle zygotes.
const MOST_IDLE: usize = 64;

/// The name of a zygote within its launcher.
pub(crate) type Key = u32;

/// All zygotes of a launcher.
#[derive(Default)]
pub(crate) struct ZygotePool {
    all: HashMap<Key, Zygote>,
    last: Key,
}

/// A zygote, as its launcher knows it.
pub(crate) struct Zygote {
    pub(crate) process: Pid,
    pub(crate) pidfd: OwnedFd,
    /// The launcher's end of the socket to the zygote; the zygote ends when it is shut down.
    pub(crate) socket: OwnedFd,
    pub(crate) group: Option<Cgroup>,
    /// The host's user of the zygote's islands.
    pub(crate) host_id: Option<u32>,
    pub(crate) bounds: ProcessBounds,
    /// The pid of the island's first process: negative while the zygote waits for the process, zero
    /// when there is none.
    pub(crate) island: SharedNumber,
    incoming: Incoming,
    status: ZygoteStatus,
    is_killed: bool,
}

/// What a zygote that has ended leaves of its island.
pub(crate) enum ZygoteRemains {
    /// The island's first process, which runs, or has ended and was not waited for.
    Running(Pid),
    /// The island's first process, which has ended; the zygote may have waited for it.
    Ended(Pid),
    /// Nothing, because the launcher killed the zygote.
    Killed,
    /// Nothing, for an unknown reason.
    Nothing,
}

enum ZygoteStatus {
    /// The zygote serves the island of this name.
    Serves(String),
    IdleSince(Instant),
    /// The zygote was told to end, or will end by itself.
    Ends,
}

impl ZygotePool {
    /// An idle zygote for islands of this user and within these bounds. An idle zygote with this
    /// user and other bounds is released.
    pub(crate) fn find(&mut self, host_id: Option<u32>, bounds: &ProcessBounds) -> Option<Key> {
        let idle = self.all.iter_mut().filter_map(|(key, zygote)| match zygote.status {
            ZygoteStatus::IdleSince(since) if zygote.host_id == host_id => {
                Some((since, *key, zygote))
            }
            _ => None,
        });
        let mut found = None;
        for (since, key, zygote) in idle {
            if zygote.bounds == *bounds {
                // The zygote that was used last, so that surplus zygotes stay idle and end.
                found = found.max(Some((since, key)));
            } else if host_id.is_some() {
                zygote.release();
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

    /// The zygote that serves an island.
    pub(crate) fn serving(&mut self, id: &str) -> Option<&mut Zygote> {
        self.all
            .values_mut()
            .find(|zygote| matches!(&zygote.status, ZygoteStatus::Serves(own) if own == id))
    }

    /// Removes a zygote that has ended.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Zygote> {
        self.all.remove(&key)
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Zygote> {
        self.all.drain().map(|(_, zygote)| zygote)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Zygote> {
        self.all.values()
    }

    /// Releases zygotes that have been idle for too long or are too many. Returns when the next one
    /// will have been idle for too long.
    pub(crate) fn trim(&mut self, now: Instant) -> Option<Instant> {
        let mut idle: Vec<_> = self
            .all
            .values_mut()
            .filter_map(|zygote| match zygote.status {
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
            zygote.release();
        }
        None
    }
}

impl Zygote {
    /// A zygote that was just forked, and that an island waits for.
    pub(crate) fn new(
        (process, pidfd): (Pid, OwnedFd),
        socket: OwnedFd,
        group: Option<Cgroup>,
        (host_id, bounds): (Option<u32>, ProcessBounds),
        island: SharedNumber,
    ) -> Self {
        let (incoming, status) = (Incoming::default(), ZygoteStatus::Ends);
        Self {
            process,
            pidfd,
            socket,
            group,
            host_id,
            bounds,
            island,
            incoming,
            status,
            is_killed: false,
        }
    }

    /// Has the zygote serve an island.
    pub(crate) fn serve(
        &mut self,
        id: &str,
        request: &ForkRequest,
        fds: &[OwnedFd],
    ) -> io::Result<()> {
        let fds: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        send_soon(&self.socket, Outgoing::new(request, &fds)?)?;
        self.status = ZygoteStatus::Serves(id.to_owned());
        Ok(())
    }

    /// Kills the zygote's island.
    pub(crate) fn kill(&mut self) {
        let number = self.island.load(Ordering::SeqCst);
        let island = (number > 0).then(|| sys::open_process(number));
        match island {
            // The zygote replaces the pid before it waits for the process, so no other process can
            // have had the pid when the descriptor was opened.
            Some(Ok(island)) if self.island.load(Ordering::SeqCst) == number => {
                sys::kill_pidfd(island.as_fd());
            }
            // The island has ended, which the zygote will report.
            _ if number < 0 => {}
            // The island does not run yet, or not any more. A zygote that is about to fork it
            // cannot be stopped in time.
            _ => {
                self.is_killed = true;
                sys::kill_pidfd(self.pidfd.as_fd());
            }
        }
    }

    /// The island that the zygote serves and the pid of its first process, once that runs.
    pub(crate) fn island(&self) -> Option<(String, i32)> {
        let ZygoteStatus::Serves(id) = &self.status else { return None };
        let number = self.island.load(Ordering::SeqCst);
        (number > 0).then(|| (id.clone(), number))
    }

    /// The report of the zygote on its island and the island's name, if the whole report has
    /// arrived.
    pub(crate) fn next_report(&mut self) -> Option<(String, ForkReport)> {
        let (report, _) = match self.incoming.next_now::<ForkReport>(self.socket.as_raw_fd()) {
            Ok(Some(message)) => message,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Ok(None) | Err(_) => {
                // The end of the zygote tells the rest.
                if let ZygoteStatus::IdleSince(_) = self.status {
                    self.status = ZygoteStatus::Ends;
                }
                return None;
            }
        };
        // A zygote that was killed sent this report before: its island had ended by itself.
        let is_free = report.free && !self.is_killed;
        let next =
            if is_free { ZygoteStatus::IdleSince(Instant::now()) } else { ZygoteStatus::Ends };
        match std::mem::replace(&mut self.status, next) {
            ZygoteStatus::Serves(id) => Some((id, report)),
            _ => None,
        }
    }

    /// The island that the zygote served when it ended, and what remains of it.
    pub(crate) fn remains(&mut self) -> Option<(String, ZygoteRemains)> {
        let ZygoteStatus::Serves(id) = std::mem::replace(&mut self.status, ZygoteStatus::Ends)
        else {
            return None;
        };
        let remains = match self.island.load(Ordering::SeqCst) {
            process @ 1.. => ZygoteRemains::Running(Pid::from_raw(process)),
            process @ ..=-1 => ZygoteRemains::Ended(Pid::from_raw(-process)),
            _ if self.is_killed => ZygoteRemains::Killed,
            _ => ZygoteRemains::Nothing,
        };
        Some((id, remains))
    }

    /// Kills a zygote that could not be sent an island: it may hold a part of the request.
    pub(crate) fn abandon(&mut self) {
        sys::kill_pidfd(self.pidfd.as_fd());
        self.status = ZygoteStatus::Ends;
    }

    /// Has the zygote end.
    pub(crate) fn release(&mut self) {
        // A process that was just forked may hold a copy of the socket, which would outlive a
        // close.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
        self.status = ZygoteStatus::Ends;
    }
}

/// Sends a message within [`SEND_WAIT`]. A socket's buffer takes most messages at once.
fn send_soon(socket: &OwnedFd, mut message: Outgoing) -> io::Result<()> {
    let until = Instant::now() + SEND_WAIT;
    loop {
        match message.advance_now(socket.as_raw_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut room = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut room, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Exit;
    use crate::launcher::wire;

    const BOUNDS: ProcessBounds =
        ProcessBounds { memory: 0, processes: 0, tmp: 0, files: 0, file_size: 0 };

    #[test]
    fn a_zygote_that_does_not_read_stops_its_launcher_for_a_moment_at_most() {
        let (sender, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let pid = Pid::this();
            let pidfd = sys::open_process(pid.as_raw()).unwrap();
            let (near, _far) = wire::pair().unwrap();
            nix::sys::socket::setsockopt(&near, nix::sys::socket::sockopt::SndBuf, &4096).unwrap();
            let island = SharedNumber::new().unwrap();
            let mut zygote = Zygote::new((pid, pidfd), near, None, (None, BOUNDS), island);
            let go = crate::launcher::wire::ExecRequest {
                program: None,
                args: vec!["x".repeat(100_000)],
                env: Vec::new(),
                folder: "/".into(),
            };
            let (control, _) = wire::pair().unwrap();
            let served = zygote.serve("si_1", &ForkRequest { go: Some(go) }, &[control]);
            let _ = sender.send((served.map_err(|error| error.kind()), zygote.island()));
        });
        let answer = answer.recv_timeout(Duration::from_secs(5));
        let (served, island) = answer.expect("the launcher goes on");
        assert_eq!((served, island), (Err(io::ErrorKind::TimedOut), None));
    }

    #[test]
    fn a_zygote_that_was_killed_gets_no_other_island_although_it_reported_that_it_is_free() {
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
            zygote.serve("si_1", &ForkRequest { go: None }, &[control]).unwrap();
            let end = Ok(Exit { code: Some(0), signal: None, oom: false });
            wire::send(far.as_raw_fd(), &ForkReport { end, free: true }, &[]).unwrap();
            if kills {
                zygotes.serving("si_1").unwrap().kill();
            }
            let (id, report) = zygotes.get_mut(key).unwrap().next_report().unwrap();
            assert_eq!((id.as_str(), report.end.unwrap().code), ("si_1", Some(0)));
            assert_eq!(zygotes.find(None, &BOUNDS).is_some(), !kills);
            let _ = process.kill();
            process.wait().unwrap();
        }
    }
}
