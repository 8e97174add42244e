//! What a program writes to stdout or stderr, up to a limit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The first buffer, which most answers fit in.
const FIRST: usize = 512;
/// A pipe is read in pieces of at most this many bytes.
const PIECE: usize = 4 * 1024;

/// The reading end of an output, with what has been read so far.
pub(crate) struct OutputReader {
    pipe: Pipe,
    bytes: Vec<u8>,
    limit: usize,
}

/// A pipe. The runtime watches it from the first wait on.
enum Pipe {
    Unwatched(OwnedFd),
    Watched(pipe::Receiver),
    Broken,
}

/// The output exceeded its limit.
pub(crate) struct TooMuch;

impl OutputReader {
    /// A new pipe, and its writing end.
    pub(crate) fn pipe(limit: u64) -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = io::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let pipe = Pipe::Unwatched(reader.into());
        let mut output = Self { pipe, bytes: Vec::new(), limit: 0 };
        output.set_limit(limit);
        Ok((output, writer.into()))
    }

    /// Changes the limit, before anything is read.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = usize::try_from(limit).unwrap_or(usize::MAX).min(usize::MAX - 1);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_too_much(&self) -> bool {
        self.bytes.len() > self.limit
    }

    /// Reads until every writer has closed the pipe, or the output exceeds its limit. Dropping the
    /// future keeps what was read.
    pub(crate) async fn read(&mut self) -> Result<(), TooMuch> {
        if let Pipe::Unwatched(_) = &self.pipe
            && let Pipe::Unwatched(fd) = std::mem::replace(&mut self.pipe, Pipe::Broken)
            && let Ok(pipe) = pipe::Receiver::from_owned_fd_unchecked(fd)
        {
            self.pipe = Pipe::Watched(pipe);
        }
        while !self.is_too_much() {
            let room = self.room();
            let Pipe::Watched(pipe) = &mut self.pipe else { return Ok(()) };
            match pipe.take(room as u64).read_buf(&mut self.bytes).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            }
        }
        Err(TooMuch)
    }

    /// Reads what is there, without waiting and without the runtime's knowledge of the pipe.
    pub(crate) fn drain(&mut self) {
        while !self.is_too_much() {
            let (length, room) = (self.bytes.len(), self.room());
            self.bytes.resize(length + room, 0);
            let into = &mut self.bytes[length..];
            let read = match &self.pipe {
                Pipe::Unwatched(fd) => nix::unistd::read(fd.as_fd(), into),
                Pipe::Watched(pipe) => nix::unistd::read(pipe.as_fd(), into),
                Pipe::Broken => Ok(0),
            };
            self.bytes.truncate(length + read.unwrap_or(0));
            match read {
                Ok(0) => return,
                // A read takes all that the pipe has, up to the size of the buffer.
                Ok(count) if count < room => return,
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// How many bytes to read next: one byte above the limit is enough to know that the output
    /// exceeds it.
    fn room(&mut self) -> usize {
        let piece = if self.bytes.is_empty() { FIRST } else { PIECE };
        let room = piece.min(self.limit + 1 - self.bytes.len());
        self.bytes.reserve(room);
        room
    }

    /// Takes what was read, at most the limit.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.limit);
        bytes
    }
}
