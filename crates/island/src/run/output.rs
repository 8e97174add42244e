//! What a program writes to one of its outputs, up to a limit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The first room for an output; most answers fit.
const FIRST: usize = 512;
/// A pipe is read in pieces of at most this many bytes.
const PIECE: usize = 4 * 1024;

/// The reading end of an output, with what came so far.
pub(crate) struct OutputReader {
    pipe: Pipe,
    bytes: Vec<u8>,
    limit: usize,
}

/// A pipe, which the runtime watches once somebody waits for it.
enum Pipe {
    Unwatched(OwnedFd),
    IdleCheck(pipe::Receiver),
    Broken,
}

/// There was more output than the limit.
pub(crate) struct TooMuch;

impl OutputReader {
    /// A new pipe, and its writing end.
    pub(crate) fn pipe(limit: u64) -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = io::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX - 1);
        let pipe = Pipe::Unwatched(reader.into());
        Ok((Self { pipe, bytes: Vec::new(), limit }, writer.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_too_much(&self) -> bool {
        self.bytes.len() > self.limit
    }

    /// Reads until every writer has closed it, or there is too much. What came before the future is dropped is kept.
    pub(crate) async fn read(&mut self) -> Result<(), TooMuch> {
        if let Pipe::Unwatched(_) = &self.pipe
            && let Pipe::Unwatched(fd) = std::mem::replace(&mut self.pipe, Pipe::Broken)
            && let Ok(pipe) = pipe::Receiver::from_owned_fd_unchecked(fd)
        {
            self.pipe = Pipe::IdleCheck(pipe);
        }
        while !self.is_too_much() {
            let room = self.room();
            let Pipe::IdleCheck(pipe) = &mut self.pipe else { return Ok(()) };
            match pipe.take(room as u64).read_buf(&mut self.bytes).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            }
        }
        Err(TooMuch)
    }

    /// Reads what is there, without waiting, and whatever the runtime knows of the pipe.
    pub(crate) fn drain(&mut self) {
        while !self.is_too_much() {
            let (length, room) = (self.bytes.len(), self.room());
            self.bytes.resize(length + room, 0);
            let into = &mut self.bytes[length..];
            let read = match &self.pipe {
                Pipe::Unwatched(fd) => nix::unistd::read(fd.as_fd(), into),
                Pipe::IdleCheck(pipe) => nix::unistd::read(pipe.as_fd(), into),
                Pipe::Broken => Ok(0),
            };
            self.bytes.truncate(length + read.unwrap_or(0));
            match read {
                Ok(0) => return,
                // A pipe gives all that it has, up to what is asked for.
                Ok(count) if count < room => return,
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// How many bytes to read next: one more than the limit is enough to know that there is too much.
    fn room(&mut self) -> usize {
        let piece = if self.bytes.is_empty() { FIRST } else { PIECE };
        let room = piece.min(self.limit + 1 - self.bytes.len());
        self.bytes.reserve(room);
        room
    }

    /// Hands out what came, at most the limit.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.limit);
        bytes
    }
}
