//! What the server and its launchers say to each other: one JSON value a message, over SOCK_SEQPACKET sockets whose
//! messages may carry descriptors.
//!
//! Three sockets meet here. Server and launcher share one for [`Request`]s and [`Event`]s. Each island has a *control*
//! socket of its own, whose far end travels to it with its [`Prepare`]: on it the server sends one [`Go`] together
//! with the descriptors to run on, and the island answers only when it fails. It closes on exec, so nothing that a
//! stranger wrote ever holds it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::island::Exit;

/// The largest message, in bytes. The longest are a worker's argument list and a tool root's mounts.
pub(crate) const MESSAGE_BYTES: usize = 128 * 1024;
/// The most descriptors that one message carries: stdin, stdout, stderr and an artifact.
const MESSAGE_FDS: usize = 4;

/// Server to launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Make an island; its control socket comes with the message.
    Prepare(Box<Prepare>),
    /// Kill everything in an island. An id that is gone is no error.
    Kill { id: String },
}

/// Launcher to server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The launcher has built its root and waits for requests.
    Ready,
    /// The island's first process has ended, and with it everything inside.
    Exited { id: String, exit: Exit },
    /// The island could not be made.
    Failed { id: String, error: String },
}

/// One island to make.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Prepare {
    pub(crate) id: String,
    /// The host's user and group id behind the island's user; none where the server is not root.
    pub(crate) host_id: Option<u32>,
    /// Share the host's network instead of having an empty one.
    pub(crate) host_network: bool,
    pub(crate) bounds: Bounds,
    /// Yield to whoever wants the processor.
    pub(crate) background: bool,
    /// The root to build; none for the launcher's own empty one.
    pub(crate) root: Option<ToolRoot>,
}

/// What an island may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// Bytes, of each process by itself and of all together where the host has cgroups.
    pub(crate) memory: u64,
    /// Processes and threads.
    pub(crate) processes: u64,
    /// Bytes in a private /tmp; 0 where /tmp is a bind of the root.
    pub(crate) tmp: u64,
    /// Open descriptors of a process.
    pub(crate) files: u64,
    /// Bytes of one file.
    pub(crate) file_size: u64,
}

/// The root of an island that works with tools of the host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToolRoot {
    pub(crate) binds: Vec<BindMount>,
    /// Link path and target.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
    /// Small files to write: path and contents.
    pub(crate) files: Vec<(PathBuf, String)>,
    pub(crate) overlay: Option<OverlayMount>,
}

/// A file or folder of the host that the island sees.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BindMount {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) writable: bool,
}

/// A writable folder over read-only ones.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OverlayMount {
    /// The topmost first.
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) target: PathBuf,
}

/// What an island is to become. Its descriptors are stdin, stdout, stderr and, unless `program` names a file in the
/// island, the program itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Go {
    pub(crate) program: Option<String>,
    pub(crate) args: Vec<String>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    pub(crate) folder: String,
}

/// Both ends of a new message socket.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// Whether a message is short enough to be sent. One that is not would end the conversation.
pub(crate) fn fits<T: Serialize>(message: &T) -> bool {
    serde_json::to_vec(message).is_ok_and(|bytes| bytes.len() <= MESSAGE_BYTES)
}

/// Sends one message with its descriptors; blocks or not as the socket does.
pub(crate) fn send<T: Serialize>(socket: RawFd, message: &T, fds: &[RawFd]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_BYTES || fds.len() > MESSAGE_FDS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too large"));
    }
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    let iov = [io::IoSlice::new(&bytes)];
    let rights = [ControlMessage::ScmRights(fds)];
    let rights = if fds.is_empty() { &rights[..0] } else { &rights[..] };
    sendmsg::<()>(socket, &iov, rights, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives one message with its descriptors; none once the far end is closed.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: RawFd,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    buffer.resize(MESSAGE_BYTES, 0);
    let (length, fds) = receive_bytes(socket, buffer)?;
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&buffer[..length])?, fds)))
}

fn receive_bytes(socket: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
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
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut fds = Vec::new();
    // SAFETY: the kernel filled the control buffer; CMSG_* walk it within msg_controllen, and each descriptor in
    // an SCM_RIGHTS message is new and owned by nobody else.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(&header);
        while !cmsg.is_null() {
            if (*cmsg).cmsg_level == libc::SOL_SOCKET && (*cmsg).cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(cmsg).cast::<RawFd>();
                let bytes = (*cmsg).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..bytes / size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            cmsg = libc::CMSG_NXTHDR(&header, cmsg);
        }
    }
    if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message was cut off"));
    }
    Ok((length as usize, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (near, far) = pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let request = Request::Kill { id: "si_x".into() };
        send(near.as_raw_fd(), &request, &[writer.as_raw_fd()]).unwrap();
        drop(writer);
        let (got, fds) = receive::<Request>(far.as_raw_fd(), &mut Vec::new()).unwrap().unwrap();
        assert!(matches!(got, Request::Kill { id } if id == "si_x"));
        assert_eq!(fds.len(), 1);
        for fd in fds {
            std::fs::File::from(fd).write_all(b"through").unwrap();
        }
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn a_closed_far_end_reads_as_none() {
        let (near, far) = pair().unwrap();
        drop(near);
        assert!(receive::<Event>(far.as_raw_fd(), &mut Vec::new()).unwrap().is_none());
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_before_it_is_sent() {
        let (near, _far) = pair().unwrap();
        let request = Request::Kill { id: "x".repeat(MESSAGE_BYTES) };
        assert!(send(near.as_raw_fd(), &request, &[]).is_err());
    }
}
