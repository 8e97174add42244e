//! The line: the socket on which a function's program is called, and says how far it is.
//!
//! ```text
//! program, descriptor 3                      server
//!   r   its packages have started
//!                          ◀──  length (4 bytes, little-endian), arguments
//!   d   called, and its results are printed
//!   x   nothing was called: it cannot represent these arguments
//! ```
//!
//! What must always hold: what is said on a line is believed for that call alone, for the function that is called can say
//! it too.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{MsgFlags, recv, send};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::launcher::wire;

/// A line is written and read without blocking, and without a signal when its far end is gone.
const NOW: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

/// Our end of a line.
pub(crate) struct CallChannel {
    socket: UnixStream,
    process: OnceLock<i32>,
    /// Its far end went away before it had taken the arguments up: they could not be sent, or the system has reset the line,
    /// as it does when something was left unread. It says so once.
    untaken: AtomicBool,
}

/// What a program says on its line.
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
    /// A new line, and its far end, which blocks.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let (near, far) = wire::pair()?;
        identify_sender(&near)?;
        let near = std::os::unix::net::UnixStream::from(near);
        near.set_nonblocking(true)?;
        let (socket, process) = (UnixStream::from_std(near)?, OnceLock::new());
        Ok((Self { socket, process, untaken: AtomicBool::new(false) }, far))
    }

    /// Sends the arguments and waits for the word that nothing follows. Nobody waits for more on a line that is closed: the
    /// program's end tells the rest.
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
                    let mut words = bytes[..length].iter().filter_map(|byte| Reply::of(*byte));
                    if let Some(word) = words.find(|word| *word != Reply::Ready) {
                        return word;
                    }
                }
            }
        }
    }

    /// Nearly always the socket takes all of it at once, without a look at whether it would.
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

    /// What an ended program has said last, and whether it had taken its arguments up.
    pub(crate) fn last(&self) -> (Option<Reply>, bool) {
        let (mut bytes, mut last) = ([0; 64], None);
        loop {
            match recv(self.socket.as_raw_fd(), &mut bytes, NOW) {
                Ok(0) | Err(nix::Error::EAGAIN) => break,
                Ok(length) => {
                    let mut words = bytes[..length].iter().filter_map(|byte| Reply::of(*byte));
                    last = words.next_back().or(last);
                }
                Err(nix::Error::EINTR) => {}
                // Behind it lies what was said before.
                Err(_) => {
                    if self.untaken.swap(true, Ordering::Relaxed) {
                        break;
                    }
                }
            }
        }
        (last, !self.untaken.load(Ordering::Relaxed))
    }

    /// Resolves when the program is ready to be called, or has said something else, or nothing any more; true where it is
    /// ready. What it has said stays on the line.
    pub(crate) async fn ready(&self) -> bool {
        if self.socket.readable().await.is_err() {
            return false;
        }
        let mut byte = [0];
        match peek(self.socket.as_raw_fd(), &mut byte) {
            Ok((1, process)) if Reply::of(byte[0]) == Some(Reply::Ready) => {
                if let Some(process) = process {
                    let _ = self.process.set(process);
                }
                true
            }
            _ => false,
        }
    }

    /// The number of the process that has said that it is ready, where the system tells.
    pub(crate) fn process(&self) -> Option<i32> {
        self.process.get().copied()
    }
}

/// Has the system say which process sends.
#[cfg(target_os = "linux")]
fn identify_sender(socket: &OwnedFd) -> io::Result<()> {
    Ok(nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::PassCred, &true)?)
}

#[cfg(not(target_os = "linux"))]
fn identify_sender(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}

/// Looks at what comes next, and who has sent it. The number is the kernel's word: only a privileged process may send
/// another's.
#[cfg(target_os = "linux")]
fn peek(socket: std::os::fd::RawFd, bytes: &mut [u8]) -> io::Result<(usize, Option<i32>)> {
    use nix::sys::socket::{ControlMessageOwned, UnixCredentials, recvmsg};
    let mut iov = [io::IoSliceMut::new(bytes)];
    let mut space = nix::cmsg_space!(UnixCredentials);
    let flags = NOW | MsgFlags::MSG_PEEK;
    let message = recvmsg::<()>(socket, &mut iov, Some(&mut space), flags)?;
    let sender = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
        _ => None,
    });
    Ok((message.bytes, sender))
}

#[cfg(not(target_os = "linux"))]
fn peek(socket: std::os::fd::RawFd, bytes: &mut [u8]) -> io::Result<(usize, Option<i32>)> {
    Ok((recv(socket, bytes, NOW | MsgFlags::MSG_PEEK)?, None))
}
