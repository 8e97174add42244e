//! The call channel: the socket on which the server calls a function's program, and the program
//! reports its progress.
//!
//! ```text
//! program, descriptor 3                      server
//!   r   ready: the packages have started
//!                          ◀──  length (4 bytes, little-endian), arguments
//!   d   done: the function has returned, and its results are printed
//!   x   nothing was called: the program cannot represent these arguments
//! ```
//!
//! Invariants: a reply counts for the call of its channel alone, because the function can send
//! replies too.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{MsgFlags, recv, send};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::launcher::wire;

/// Channels are written and read without blocking, and without a signal when the far end is gone.
const NOW: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

/// The server's end of a call channel.
pub(crate) struct CallChannel {
    socket: UnixStream,
    /// The far end closed before it had read the arguments: they could not be sent, or the system
    /// has reset the channel, as it does when something was left unread. The system reports a reset
    /// once.
    untaken: AtomicBool,
}

/// What a program sends on its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Ready,
    Done,
    Unrepresentable,
}

impl Reply {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'r' => Some(Self::Ready),
            b'd' => Some(Self::Done),
            b'x' => Some(Self::Unrepresentable),
            _ => None,
        }
    }
}

impl CallChannel {
    /// A new channel, and its far end, which blocks.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let (near, far) = wire::pair()?;
        let near = std::os::unix::net::UnixStream::from(near);
        near.set_nonblocking(true)?;
        let socket = UnixStream::from_std(near)?;
        Ok((Self { socket, untaken: AtomicBool::new(false) }, far))
    }

    /// Sends the arguments and waits for the last reply. On a channel that is closed this waits for
    /// ever: the end of the program tells what happened.
    pub(crate) async fn call(&self, arguments: &[u8]) -> Reply {
        let message = [&(arguments.len() as u32).to_le_bytes(), arguments].concat();
        if self.send(&message).await.is_err() {
            self.untaken.store(true, Ordering::Relaxed);
            return std::future::pending().await;
        }
        loop {
            let mut bytes = [0; 16];
            let receive = || Ok(recv(self.socket.as_raw_fd(), &mut bytes, NOW)?);
            match self.socket.async_io(Interest::READABLE, receive).await {
                Ok(0) => return std::future::pending().await,
                Err(_) => {
                    self.untaken.store(true, Ordering::Relaxed);
                    return std::future::pending().await;
                }
                Ok(length) => {
                    let mut replies = bytes[..length].iter().filter_map(|byte| Reply::of(*byte));
                    if let Some(reply) = replies.find(|reply| *reply != Reply::Ready) {
                        return reply;
                    }
                }
            }
        }
    }

    /// Nearly always the socket takes the whole message at once, so the first try does not ask the
    /// runtime.
    async fn send(&self, mut message: &[u8]) -> io::Result<()> {
        let socket = self.socket.as_raw_fd();
        while !message.is_empty() {
            match send(socket, message, NOW) {
                Ok(length) => message = &message[length..],
                Err(nix::Error::EAGAIN) => {
                    let later = || Ok(send(socket, message, NOW)?);
                    let length = self.socket.async_io(Interest::WRITABLE, later).await?;
                    message = &message[length..];
                }
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The last reply of a program that has ended, and whether the program had read its arguments.
    pub(crate) fn last(&self) -> (Option<Reply>, bool) {
        let (mut bytes, mut last) = ([0; 64], None);
        loop {
            match recv(self.socket.as_raw_fd(), &mut bytes, NOW) {
                Ok(0) | Err(nix::Error::EAGAIN) => break,
                Ok(length) => {
                    let mut replies = bytes[..length].iter().filter_map(|byte| Reply::of(*byte));
                    last = replies.next_back().or(last);
                }
                Err(nix::Error::EINTR) => {}
                // The replies before a reset lie behind it.
                Err(_) => {
                    if self.untaken.swap(true, Ordering::Relaxed) {
                        break;
                    }
                }
            }
        }
        (last, !self.untaken.load(Ordering::Relaxed))
    }

    /// Waits until the program is ready to be called, sends something else or closes the channel;
    /// true where it is ready. The reply stays on the channel.
    pub(crate) async fn ready(&self) -> bool {
        if self.socket.readable().await.is_err() {
            return false;
        }
        let mut byte = [0];
        let peeked = recv(self.socket.as_raw_fd(), &mut byte, NOW | MsgFlags::MSG_PEEK);
        peeked == Ok(1) && Reply::of(byte[0]) == Some(Reply::Ready)
    }
}
