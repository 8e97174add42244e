//! What a program writes to one of its outputs, up to a limit.

use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// A pipe is read in pieces of this many bytes.
const PIECE: usize = 4 * 1024;

/// The reading end of an output, with what came so far.
pub(super) struct Collected {
    pipe: pipe::Receiver,
    bytes: Vec<u8>,
    limit: usize,
}

/// There was more output than the limit.
pub(super) struct TooMuch;

impl Collected {
    pub(super) fn new(pipe: pipe::Receiver, limit: u64) -> Self {
        Self { pipe, bytes: Vec::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX - 1) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.bytes.len() > self.limit
    }

    /// Reads until every writer has closed it, or there is too much. What came before the future is dropped is kept.
    pub(super) async fn read(&mut self) -> Result<(), TooMuch> {
        while !self.is_too_much() {
            let room = self.room();
            let mut pipe = (&mut self.pipe).take(room as u64);
            match pipe.read_buf(&mut self.bytes).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            }
        }
        Err(TooMuch)
    }

    /// Reads what is there, without waiting, and whatever the runtime knows of the pipe.
    pub(super) fn drain(&mut self) {
        while !self.is_too_much() {
            let (length, room) = (self.bytes.len(), self.room());
            self.bytes.resize(length + room, 0);
            let read = nix::unistd::read(self.pipe.as_fd(), &mut self.bytes[length..]);
            self.bytes.truncate(length + read.unwrap_or(0));
            match read {
                Ok(0) => return,
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// How many bytes to read next: one more than the limit is enough to know that there is too much.
    fn room(&mut self) -> usize {
        let room = PIECE.min(self.limit + 1 - self.bytes.len());
        self.bytes.reserve(room);
        room
    }

    /// Hands out what came, at most the limit.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.limit);
        bytes
    }
}
