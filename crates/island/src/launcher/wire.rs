//! The messages between the server and its launchers. Each is one JSON value with its length before
//! it, on a stream socket, and may carry descriptors.
//!
//! Server and launcher share one socket for [`Request`]s and [`Event`]s. It is a stream, because
//! sockets that keep message boundaries differ between systems: FreeBSD 15 joins messages that are
//! sent without MSG_EOR.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use crate::backend::Exit;

/// The largest message, in bytes. The longest are the argument list of a worker and the mounts of a
/// tool's root.
pub const MESSAGE_BYTES: usize = 128 * 1024;
/// The most descriptors that one message carries: stdin, stdout, stderr, a call channel and an
/// artifact.
const MESSAGE_FDS: usize = 5;
/// The most islands that one message lists.
pub const LISTED: usize = 2048;
/// The bytes before each message: its length and the number of its descriptors, four bytes each.
const HEAD: usize = 8;

/// What the server asks of a launcher.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request<P> {
    /// Make an island. Its descriptors come with the message.
    Prepare(Box<P>),
    /// Kill everything in an island. An island that is gone is no error.
    Kill { id: String },
    /// List the islands.
    List,
}

/// What a launcher reports to the server.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    /// The launcher has built its root and waits for requests.
    Ready,
    /// The first process of an island has ended, and with it everything inside.
    Exited { id: String, exit: Exit },
    /// An island could not be made.
    Failed { id: String, error: String },
    /// The answer to [`Request::List`]: the names of at most [`LISTED`] islands, and what the
    /// system knows each by.
    Listed { islands: Vec<(String, i32)> },
}

/// The program that an island becomes, and what the program starts with.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExecRequest {
    /// A path on the island; none where the program comes as a descriptor.
    pub program: Option<String>,
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    pub folder: String,
}

/// Both ends of a new socket.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?)
}

/// Sends one message with its descriptors on a socket that blocks.
pub fn send<T: Serialize>(socket: RawFd, message: &T, fds: &[RawFd]) -> io::Result<()> {
    Outgoing::new(message, fds)?.advance(socket)
}

/// Sends one message with its descriptors within `limit`, without blocking the thread. The socket
/// may be one that blocks.
pub async fn send_within<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    fds: &[BorrowedFd<'_>],
    limit: Duration,
) -> io::Result<()> {
    let numbers: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let mut outgoing = Outgoing::new(message, &numbers)?;
    // Nearly always the socket takes all of it at once, and nothing has to be registered.
    match outgoing.advance_now(socket.as_raw_fd()) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        sent => return sent,
    }
    // SAFETY: the borrowed descriptor stays open, and the same, for longer than the AsyncFd lives.
    let socket = unsafe { AsyncFd::register(socket) }?;
    let send = |socket: &BorrowedFd<'_>| outgoing.advance_now(socket.as_raw_fd());
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("not read within {limit:?}"));
    timeout(limit, socket.async_io(Interest::WRITABLE, send)).await.map_err(late)?
}

/// A message on its way out.
pub struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<RawFd>,
}

impl Outgoing {
    /// `fds` stay open until all is sent.
    pub fn new<T: Serialize>(message: &T, fds: &[RawFd]) -> io::Result<Self> {
        let mut bytes = vec![0; HEAD];
        serde_json::to_writer(&mut bytes, message)?;
        let length = bytes.len() - HEAD;
        if length > MESSAGE_BYTES || fds.len() > MESSAGE_FDS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a message of {length} bytes and {} descriptors exceeds {MESSAGE_BYTES} bytes or {MESSAGE_FDS} descriptors",
                    fds.len()
                ),
            ));
        }
        bytes[..4].copy_from_slice(&(length as u32).to_ne_bytes());
        bytes[4..HEAD].copy_from_slice(&(fds.len() as u32).to_ne_bytes());
        Ok(Self { bytes, sent: 0, fds: fds.to_vec() })
    }

    /// Sends what the socket takes, and keeps the rest for the next time when it would block.
    pub fn advance(&mut self, socket: RawFd) -> io::Result<()> {
        self.advance_with(socket, MsgFlags::empty())
    }

    /// Like [`Outgoing::advance`], never blocking.
    pub fn advance_now(&mut self, socket: RawFd) -> io::Result<()> {
        self.advance_with(socket, MsgFlags::MSG_DONTWAIT)
    }

    fn advance_with(&mut self, socket: RawFd, flags: MsgFlags) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            let (bytes, flags) = (&self.bytes[self.sent..], flags | MsgFlags::MSG_NOSIGNAL);
            // A zygote sends no descriptors, and its filter has no call that could.
            let sent = match self.fds.is_empty() {
                true => nix::sys::socket::send(socket, bytes, flags),
                false => {
                    let rights = [ControlMessage::ScmRights(&self.fds)];
                    sendmsg::<()>(socket, &[io::IoSlice::new(bytes)], &rights, flags, None)
                }
            };
            match sent {
                Ok(length) => {
                    self.sent += length;
                    // The descriptors went with the first byte.
                    self.fds.clear();
                }
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The messages that have arrived on a socket and were not taken yet.
#[derive(Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Incoming {
    /// The next message with its descriptors; none once the far end is closed. Blocks or not as the
    /// socket does, and keeps what arrived before the socket would block.
    pub fn next<T: DeserializeOwned>(
        &mut self,
        socket: RawFd,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        self.next_with(socket, 0)
    }

    /// Like [`Incoming::next`], never blocking.
    pub fn next_now<T: DeserializeOwned>(
        &mut self,
        socket: RawFd,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        self.next_with(socket, libc::MSG_DONTWAIT)
    }

    /// Handles all requests that have arrived, without blocking; false once the far end is closed.
    pub fn take_requests<P: DeserializeOwned>(
        &mut self,
        socket: RawFd,
        mut handle: impl FnMut(Request<P>, Vec<OwnedFd>),
    ) -> bool {
        loop {
            match self.next_now(socket) {
                Ok(Some((request, fds))) => handle(request, fds),
                Ok(None) => return false,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return true,
                    // A message that cannot be read concerns one island, and the server's wait for
                    // that island has a limit.
                    io::ErrorKind::InvalidData | io::ErrorKind::Interrupted => {}
                    _ => return false,
                },
            }
        }
    }

    fn next_with<T: DeserializeOwned>(
        &mut self,
        socket: RawFd,
        flags: libc::c_int,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            if let Some((length, count)) = self.head()?
                && self.bytes.len() >= HEAD + length
            {
                let message = serde_json::from_slice(&self.bytes[HEAD..HEAD + length]);
                self.bytes.drain(..HEAD + length);
                let fds = self.fds.drain(..count.min(self.fds.len())).collect();
                return Ok(Some((message?, fds)));
            }
            if self.receive(socket, flags)? == 0 {
                return match self.bytes.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// The length of the next message, and how many descriptors it has.
    fn head(&self) -> io::Result<Option<(usize, usize)>> {
        let Some(head) = self.bytes.first_chunk::<HEAD>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h] = *head;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let count = u32::from_ne_bytes([e, f, g, h]) as usize;
        if length > MESSAGE_BYTES || count > MESSAGE_FDS {
            return Err(io::Error::other(format!(
                "the far end announced {length} bytes and {count} descriptors, which no message has"
            )));
        }
        Ok(Some((length, count)))
    }

    fn receive(&mut self, socket: RawFd, flags: libc::c_int) -> io::Result<usize> {
        const PIECE: usize = 4 * 1024;
        let old = self.bytes.len();
        self.bytes.resize(old + PIECE, 0);
        let received = receive_bytes(socket, &mut self.bytes[old..], flags, &mut self.fds);
        self.bytes.truncate(old + received.as_ref().copied().unwrap_or(0));
        received
    }
}

fn receive_bytes(
    socket: RawFd,
    buffer: &mut [u8],
    flags: libc::c_int,
    fds: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    const SPACE: usize = 64;
    let mut control = MaybeUninit::<[u64; SPACE / 8]>::zeroed();
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero msghdr is a valid empty one.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &mut iov;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = SPACE as _;
    // SAFETY: the header points at buffers that live until the call returns.
    let length = unsafe { libc::recvmsg(socket, &mut header, libc::MSG_CMSG_CLOEXEC | flags) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel filled the control buffer; CMSG_* walk it within msg_controllen, and each
    // descriptor in an SCM_RIGHTS message is new, and no other value owns it.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(&header);
        while !cmsg.is_null() {
            if (*cmsg).cmsg_level == libc::SOL_SOCKET && (*cmsg).cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(cmsg).cast::<RawFd>();
                let bytes = (*cmsg).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..bytes / size_of::<RawFd>() {
                    fds.push_back(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            cmsg = libc::CMSG_NXTHDR(&header, cmsg);
        }
    }
    if header.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other(
            "the system dropped descriptors of a message: too many files are open",
        ));
    }
    Ok(length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, AsRawFd};

    type Said = Request<String>;

    fn kill(id: &str) -> Said {
        Request::Kill { id: id.into() }
    }

    #[test]
    fn messages_arrive_apart_each_with_its_own_descriptors() {
        let (near, far) = pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(near.as_raw_fd(), &kill("one"), &[]).unwrap();
        send(near.as_raw_fd(), &kill("two"), &[writer.as_raw_fd()]).unwrap();
        send(near.as_raw_fd(), &kill("three"), &[writer.as_raw_fd(); 2]).unwrap();
        drop(writer);
        let mut incoming = Incoming::default();
        for (expected, count) in [("one", 0), ("two", 1), ("three", 2)] {
            let (got, fds) = incoming.next::<Said>(far.as_raw_fd()).unwrap().unwrap();
            assert!(matches!(got, Request::Kill { id } if id == expected));
            assert_eq!(fds.len(), count, "{expected}");
            for fd in fds {
                std::fs::File::from(fd).write_all(b"through").unwrap();
            }
        }
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through".repeat(3));
    }

    #[test]
    fn a_message_larger_than_the_sockets_buffer_goes_in_pieces() {
        let (near, far) = pair().unwrap();
        nix::sys::socket::setsockopt(&near, nix::sys::socket::sockopt::SndBuf, &4096).unwrap();
        let long = "x".repeat(MESSAGE_BYTES - 100);
        let sender = {
            let long = long.clone();
            std::thread::spawn(move || {
                let pipe = io::pipe().unwrap().1;
                send(near.as_raw_fd(), &kill(&long), &[pipe.as_raw_fd()]).unwrap();
            })
        };
        let (got, fds) = Incoming::default().next::<Said>(far.as_raw_fd()).unwrap().unwrap();
        assert!(matches!(got, Request::Kill { id } if id == long));
        assert_eq!(fds.len(), 1);
        sender.join().unwrap();
    }

    #[tokio::test]
    async fn a_message_that_is_not_read_is_not_waited_for_without_end() {
        let (near, far) = pair().unwrap();
        nix::sys::socket::setsockopt(&near, nix::sys::socket::sockopt::SndBuf, &4096).unwrap();
        let message = kill(&"x".repeat(MESSAGE_BYTES - 100));
        let limit = Duration::from_millis(50);
        let sent = send_within(near.as_fd(), &message, &[], limit).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(far);
        let sent = send_within(near.as_fd(), &message, &[], limit).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_came_before_it_would_block_is_kept() {
        let (near, far) = pair().unwrap();
        let outgoing = Outgoing::new(&kill("late"), &[]).unwrap();
        let (first, rest) = outgoing.bytes.split_at(11);
        let mut incoming = Incoming::default();
        nix::unistd::write(&near, first).unwrap();
        let error = incoming.next_now::<Said>(far.as_raw_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        nix::unistd::write(&near, rest).unwrap();
        assert!(incoming.next_now::<Said>(far.as_raw_fd()).unwrap().is_some());
    }

    #[test]
    fn a_closed_far_end_reads_as_none_unless_it_broke_off() {
        let (near, far) = pair().unwrap();
        drop(near);
        assert!(Incoming::default().next::<Event>(far.as_raw_fd()).unwrap().is_none());
        let (near, far) = pair().unwrap();
        nix::unistd::write(&near, b"abc").unwrap();
        drop(near);
        assert!(Incoming::default().next::<Event>(far.as_raw_fd()).is_err());
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_before_it_is_sent() {
        let (near, far) = pair().unwrap();
        assert!(send(near.as_raw_fd(), &kill(&"x".repeat(MESSAGE_BYTES)), &[]).is_err());
        nix::unistd::write(&near, &u64::MAX.to_ne_bytes()).unwrap();
        assert!(Incoming::default().next::<Said>(far.as_raw_fd()).is_err());
    }
}
