//! What an island could leave behind in its zygote for the next island, and how the zygote finds
//! out.
//!
//! Invariants: a zygote serves another island only if the last one left no socket, no memory beyond
//! the residue that the kernel frees late, and a /tmp that equals a newly mounted one.

use std::fs::File;
use std::io;

use crate::linux::meter::{MemoryMeter, first_of};
use crate::linux::zygote::tmp::Tmp;

/// The state of a zygote before its first island, and the files that show the present state.
pub(crate) struct Traces {
    /// The sockets of the zygote's network namespace, as the kernel counts them.
    sockets: File,
    /// The contents of that file when the namespace had no socket.
    no_sockets: String,
    memory: Option<MemoryMeter>,
    /// The bytes that were charged to the zygote's group before its first island.
    memory_at_first: u64,
    tmp: Tmp,
}

impl Traces {
    /// Records the present state as the clean one. `sockets` is `/proc/self/net/sockstat`.
    pub(crate) fn of_new(
        sockets: File,
        no_sockets: String,
        memory: Option<MemoryMeter>,
        tmp: Tmp,
    ) -> io::Result<Self> {
        let memory_at_first = memory.as_ref().map_or(Ok(0), MemoryMeter::used)?;
        Ok(Self { sockets, no_sockets, memory, memory_at_first, tmp })
    }

    /// Replaces /tmp by a new one if an island has changed it. Returns whether it was replaced, and
    /// nothing if /tmp could not be replaced.
    pub(crate) fn renew_tmp(&mut self) -> Option<bool> {
        self.tmp.renew().ok()
    }

    /// Whether no socket is open, and at most `residue` bytes of an island are still charged.
    pub(crate) fn are_gone(&self, residue: u64) -> bool {
        let most = self.memory_at_first.saturating_add(residue);
        let used = self.memory.as_ref().map_or(Ok(0), MemoryMeter::used);
        count_of_sockets(&self.sockets).is_ok_and(|now| now == self.no_sockets)
            && used.is_ok_and(|used| used <= most)
    }

    /// Whether the kernel has killed a process for want of memory.
    pub(crate) fn has_killed(&self) -> bool {
        self.memory.as_ref().is_some_and(MemoryMeter::has_killed)
    }
}

/// The line of `/proc/net/sockstat` that counts the sockets of all kinds.
pub(crate) fn count_of_sockets(sockstat: &File) -> io::Result<String> {
    let text = first_of(sockstat)?;
    text.lines().next().map(str::to_owned).ok_or(io::ErrorKind::UnexpectedEof.into())
}
