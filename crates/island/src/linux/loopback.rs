//! The loopback interface of a network namespace.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use crate::linux::execution::{FirstProcessError, during};

/// The setting of a network namespace that says which ports need a privilege.
const FIRST_FREE_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Brings loopback up in the network namespace of this process, which must own the namespace. Every
/// port is free there, for a fetch listens in the place of a module proxy of the host's loopback.
pub(crate) fn raise() -> Result<(), FirstProcessError> {
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(during("making a socket"))?;
    set_up(&socket).map_err(during("bringing loopback up"))?;
    // A container may have a read-only /proc/sys. Then only ports from 1024 on are free.
    let _ = std::fs::write(FIRST_FREE_PORT, "0");
    Ok(())
}

fn set_up(socket: &UdpSocket) -> io::Result<()> {
    // SAFETY: a plain structure, for which all zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the call reads an ifreq, which lives until it returns.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
