//! FreeBSD's own system calls, each in a small wrapper.

pub(super) mod mount;
pub(super) mod rctl;

use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::freebsd::params::{Param, Value};
use crate::freebsd::protocol::ProcessBounds;
use crate::freebsd::rlimits::{Limit, rlimits};
use crate::launcher::process::LINE;

/// KINFO_PROC_SIZE of sys/user.h: the kernel's entries and those of the libc crate have one size.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<libc::kinfo_proc>() == 1088);

// The numbers of limits are those of the libc crate.
const _: () = {
    assert!(Limit::FileSize as c_int == libc::RLIMIT_FSIZE);
    assert!(Limit::Core as c_int == libc::RLIMIT_CORE);
    assert!(Limit::Locked as c_int == libc::RLIMIT_MEMLOCK);
    assert!(Limit::Processes as c_int == libc::RLIMIT_NPROC);
    assert!(Limit::Files as c_int == libc::RLIMIT_NOFILE);
    assert!(Limit::SocketBuffers as c_int == libc::RLIMIT_SBSIZE);
    assert!(Limit::AddressSpace as c_int == libc::RLIMIT_AS);
    assert!(Limit::Terminals as c_int == libc::RLIMIT_NPTS);
    assert!(Limit::Kqueues as c_int == libc::RLIMIT_KQUEUES);
    assert!(Limit::SharedLocks as c_int == libc::RLIMIT_UMTXP);
};

/// The login name of an island's session, in place of the name of the user who started the server.
const LOGIN: &CStr = c"island";
/// Room for the kernel's message about a parameter.
const MESSAGE: usize = 256;

/// Why jail_set(2) did not make or change a jail.
#[derive(Debug, thiserror::Error)]
pub(super) enum JailSetError {
    /// The kernel names the parameter that it refuses.
    #[error("jail_set(2) refused a parameter: {0}")]
    Parameter(String),
    /// The kernel gives an error number alone.
    #[error("jail_set(2) failed")]
    System(#[source] io::Error),
}

/// Makes a jail and returns its number.
pub(super) fn create_jail(params: &[Param]) -> Result<c_int, JailSetError> {
    jail_set(params, libc::JAIL_CREATE)
}

/// Changes a jail, which the parameters name.
pub(super) fn update_jail(params: &[Param]) -> Result<(), JailSetError> {
    jail_set(params, libc::JAIL_UPDATE).map(|_| ())
}

fn jail_set(params: &[Param], flags: c_int) -> Result<c_int, JailSetError> {
    let mut message = vec![0u8; MESSAGE];
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = params.iter().map(encode).collect();
    let mut iov = Vec::with_capacity(2 * pairs.len() + 2);
    for (name, value) in &mut pairs {
        iov.push(slice(name));
        iov.push(slice(value));
    }
    let mut name = b"errmsg\0".to_vec();
    iov.push(slice(&mut name));
    iov.push(slice(&mut message));
    // SAFETY: each iovec points at a vector that lives until the call returns, and has its length;
    // an empty value is a null pointer of length 0, which is how jail_set(2) takes a flag.
    let jid = unsafe { libc::jail_set(iov.as_mut_ptr(), iov.len() as _, flags) };
    if jid >= 0 {
        return Ok(jid);
    }
    let error = io::Error::last_os_error();
    let end = message.iter().position(|byte| *byte == 0).unwrap_or(0);
    match String::from_utf8_lossy(&message[..end]) {
        text if text.is_empty() => Err(JailSetError::System(error)),
        text => Err(JailSetError::Parameter(text.into_owned())),
    }
}

fn slice(bytes: &mut Vec<u8>) -> libc::iovec {
    let base = if bytes.is_empty() { std::ptr::null_mut() } else { bytes.as_mut_ptr() };
    libc::iovec { iov_base: base.cast::<c_void>(), iov_len: bytes.len() }
}

fn encode(param: &Param) -> (Vec<u8>, Vec<u8>) {
    let text = |text: &str| text.bytes().chain([0]).collect::<Vec<u8>>();
    let address = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let value = match &param.value {
        Value::Flag => Vec::new(),
        Value::Number(number) => number.to_ne_bytes().to_vec(),
        Value::Text(value) => text(value),
        Value::Address4(value) => address((*value).into()),
        Value::Address6(value) => address((*value).into()),
    };
    (text(&param.name), value)
}

/// Removes a jail, and kills the processes in it. A jail that is gone is no error.
pub(super) fn remove_jail(jid: c_int) {
    // SAFETY: takes a number alone.
    unsafe { libc::jail_remove(jid) };
}

/// Moves this process into a jail. jail_attach(2) refuses a process that has a folder open.
pub(super) fn attach(jid: c_int) -> io::Result<()> {
    // SAFETY: takes a number alone.
    check(unsafe { libc::jail_attach(jid) })
}

/// Whether a jail is gone. A dying jail is not gone.
pub(super) fn is_gone(jid: c_int) -> bool {
    let (mut name, mut value) = (b"jid\0".to_vec(), jid.to_ne_bytes().to_vec());
    let mut iov = [slice(&mut name), slice(&mut value)];
    // SAFETY: both iovecs point at vectors that live until the call returns.
    unsafe { libc::jail_get(iov.as_mut_ptr(), iov.len() as _, libc::JAIL_DYING) < 0 }
}

/// Whether any process of the host is in a jail.
pub(super) fn has_processes(jid: c_int) -> io::Result<bool> {
    let mib = [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PROC];
    // Processes come and go between the two calls, so there is room for more.
    for _ in 0..8 {
        let mut length = 0;
        // SAFETY: with no buffer the kernel writes the length alone.
        check(unsafe {
            libc::sysctl(mib.as_ptr(), 3, std::ptr::null_mut(), &mut length, std::ptr::null(), 0)
        })?;
        let count = length / size_of::<libc::kinfo_proc>() + 64;
        let mut found: Vec<libc::kinfo_proc> = Vec::with_capacity(count);
        let mut length = count * size_of::<libc::kinfo_proc>();
        // SAFETY: the buffer has room for `length` bytes, and the kernel writes no more.
        let done = unsafe {
            libc::sysctl(
                mib.as_ptr(),
                3,
                found.as_mut_ptr().cast(),
                &mut length,
                std::ptr::null(),
                0,
            )
        };
        match check(done) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => continue,
            other => other?,
        }
        // SAFETY: the kernel filled as many whole entries, which are plain numbers and pointers.
        unsafe { found.set_len(length / size_of::<libc::kinfo_proc>()) };
        return Ok(found.iter().any(|process| process.ki_jid == jid));
    }
    Err(io::ErrorKind::OutOfMemory.into())
}

/// How a child ended, and the most memory it had at once, in bytes.
pub(super) fn reap(pid: libc::pid_t) -> io::Result<Option<(c_int, u64)>> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call.
    let found = unsafe { libc::wait4(pid, &mut status, libc::WNOHANG, &mut usage) };
    check(found)?;
    Ok((found == pid).then_some((status, usage.ru_maxrss as u64 * 1024)))
}

/// Closes all descriptors above [`LINE`] but these.
///
/// # Safety
///
/// No value that owns another descriptor above [`LINE`] is used or dropped in this process any
/// more.
pub(super) unsafe fn close_all_but(keep: &mut [RawFd]) {
    keep.sort_unstable();
    let mut from = LINE + 1;
    for fd in keep.iter().copied().filter(|fd| *fd > LINE) {
        if from < fd {
            // SAFETY: the caller promises that nothing uses these descriptors.
            unsafe { libc::close_range(from as _, (fd - 1) as _, 0) };
        }
        from = fd + 1;
    }
    // SAFETY: as above.
    unsafe { libc::closefrom(from) };
}

/// Asks the kernel to kill this process when its parent ends.
pub(super) fn die_with_parent() -> io::Result<()> {
    let mut signal: c_int = libc::SIGKILL;
    // SAFETY: the argument of this command is a pointer to an int.
    check(unsafe {
        libc::procctl(libc::P_PID, 0, libc::PROC_PDEATHSIG_CTL, (&raw mut signal).cast())
    })
}

/// The part of the host's memory that is free or can be freed at once, inactive pages included.
pub(super) fn free_memory() -> Option<f64> {
    let pages = |name: &CStr| {
        let (mut value, mut length) = (0_u32, size_of::<u32>());
        let place = (&raw mut value).cast();
        // SAFETY: the kernel writes at most `length` bytes to `value`; nothing is set.
        let done =
            unsafe { libc::sysctlbyname(name.as_ptr(), place, &mut length, std::ptr::null(), 0) };
        (done == 0 && length == size_of::<u32>()).then_some(f64::from(value))
    };
    let free = pages(c"vm.stats.vm.v_free_count")? + pages(c"vm.stats.vm.v_inactive_count")?;
    Some(free / pages(c"vm.stats.vm.v_page_count")?)
}

/// Takes the limits of an island's processes.
pub(super) fn limit(bounds: &ProcessBounds) -> io::Result<()> {
    rlimits(bounds).into_iter().try_for_each(|(limit, most)| set_limit(limit as c_int, most))
}

fn set_limit(resource: c_int, value: u64) -> io::Result<()> {
    let value = libc::rlim_t::try_from(value).unwrap_or(libc::rlim_t::MAX);
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the pointer is valid for the call.
    check(unsafe { libc::setrlimit(resource, &limit) })
}

/// Gives this process the lowest priority.
pub(super) fn yield_processor() -> io::Result<()> {
    // SAFETY: takes numbers alone.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 20) })
}

/// Changes the user and its only group to `user`, in a new session.
pub(super) fn become_user(user: u32) -> io::Result<()> {
    // SAFETY: these take numbers and valid pointers; a group list of one entry is that long.
    unsafe {
        check(libc::setsid())?;
        check(libc::setlogin(LOGIN.as_ptr()))?;
        check(libc::setgroups(1, &user))?;
        check(libc::setresgid(user, user, user))?;
        check(libc::setresuid(user, user, user))
    }
}

/// Executes an open program, or the program at a path. Returns only when that fails.
pub(super) fn exec(
    file: Option<BorrowedFd<'_>>,
    path: &CString,
    args: &[CString],
    env: &[CString],
) -> io::Error {
    let vector = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (vector(args), vector(env));
    // SAFETY: both vectors end with a null pointer, and their texts live until the call, which
    // returns only when it fails.
    unsafe {
        match file {
            Some(file) => libc::fexecve(file.as_raw_fd(), args.as_ptr(), env.as_ptr()),
            None => libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()),
        };
    }
    io::Error::last_os_error()
}

/// Ends this process without running destructors or exit handlers of its parent.
pub(super) fn exit_now(status: c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
