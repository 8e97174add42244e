//! The system calls that have no safe wrapper elsewhere, one small function each.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::linux::seccomp::FilterToken;

/// Sends SIGKILL to the process behind a descriptor. A process that has ended already is no error.
pub(crate) fn kill_pidfd(pidfd: BorrowedFd<'_>) {
    // SAFETY: plain integers and a null siginfo.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        );
    }
}

/// Whether a file has an extended attribute with exactly this value. One that this process may not
/// read is none.
pub(crate) fn has_attribute(path: &Path, name: &CStr, value: &[u8]) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // One byte more, so that a longer value does not look like this one.
    let mut found = vec![0u8; value.len() + 1];
    // SAFETY: both names end with a zero, and the buffer is as long as the call is told.
    let length = unsafe {
        libc::getxattr(path.as_ptr(), name.as_ptr(), found.as_mut_ptr().cast(), found.len())
    };
    usize::try_from(length).is_ok_and(|length| found.get(..length) == Some(value))
}

/// Strings as execve(2) wants them: an array of pointers that ends with a null pointer.
pub(crate) struct StringArray {
    pointers: Vec<*const libc::c_char>,
    /// The strings that the pointers point to.
    _strings: Vec<CString>,
}

impl StringArray {
    /// Fails for a string that contains a NUL.
    pub(crate) fn new(strings: &[String]) -> Result<Self, std::ffi::NulError> {
        let strings = strings.iter().map(|text| CString::new(text.as_str()));
        let strings = strings.collect::<Result<Vec<_>, _>>()?;
        let pointers = strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Ok(Self { pointers, _strings: strings })
    }
}

/// Executes the program behind the descriptor `program`, or the one at `path` when there is none;
/// returns only the failure.
///
/// # Safety
///
/// `program` is open in this process and refers to the program that the caller wants to execute.
pub(crate) unsafe fn exec(
    program: Option<RawFd>,
    path: &CStr,
    args: &StringArray,
    env: &StringArray,
) -> io::Error {
    let (argv, envp) = (args.pointers.as_ptr(), env.pointers.as_ptr());
    let (fd, name, flags) = match program {
        Some(fd) => (fd, c"", libc::AT_EMPTY_PATH),
        None => (libc::AT_FDCWD, path, 0),
    };
    // SAFETY: argv and envp are null-terminated arrays of C strings that outlive the call; the
    // caller promises that `program` is open.
    unsafe { libc::syscall(libc::SYS_execveat, fd, name.as_ptr(), argv, envp, flags) };
    io::Error::last_os_error()
}

/// Closes every descriptor from `first` on, except the ones in `keep`.
///
/// # Safety
///
/// No owner of a descriptor that is closed here uses or drops the descriptor in this process
/// afterwards. That holds in a new process that leaves only by an exec or by [`exit_now`].
pub(crate) unsafe fn close_all_from(first: RawFd, keep: &[RawFd]) {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let mut from = first;
    for fd in keep.into_iter().chain([RawFd::MAX]) {
        if from < fd {
            // SAFETY: plain integers; the caller promises that the owners are never dropped.
            unsafe { libc::syscall(libc::SYS_close_range, from as u32, fd as u32 - 1, 0) };
        }
        from = fd.saturating_add(1);
    }
}

/// One prctl(2) with an integer argument.
///
/// # Safety
///
/// The kernel reads the argument of `option` as an integer, not as a pointer.
pub(crate) unsafe fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the caller promises an integer argument; the unused arguments are zero as they must
    // be.
    let result = unsafe {
        libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The highest capability number to try; the kernel answers EINVAL above its own last one.
const CAPABILITIES: libc::c_ulong = 64;

/// Removes, for ever, every capability that an exec could bring back.
pub(crate) fn drop_bounding() -> io::Result<()> {
    for capability in 0..CAPABILITIES {
        // SAFETY: the argument is the capability's number.
        match unsafe { prctl(libc::PR_CAPBSET_DROP, capability) } {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            result => result?,
        }
    }
    // SAFETY: the argument is the number of a sub-command without arguments.
    unsafe { prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong) }
}

/// Removes every capability that this process has.
pub(crate) fn drop_capabilities(token: FilterToken) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let none = [[0u32; 3]; 2];
    // SAFETY: the two structures are those of capset(2), version 3.
    done(unsafe {
        libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr(), 0, 0, 0, token.number())
    })
}

/// Sets the real, effective and saved user and group to `id`, and removes all other groups.
pub(crate) fn set_user(id: u32, token: FilterToken) -> io::Result<()> {
    let none = std::ptr::null::<libc::gid_t>();
    // SAFETY: plain integers; the list of groups is empty.
    match done(unsafe { libc::syscall(libc::SYS_setgroups, 0, none, 0, 0, 0, token.number()) }) {
        // An ordinary user's launcher may not change groups. The groups that stay are no use to the
        // island: ids without a mapping match nothing.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
        result => result?,
    }
    // SAFETY: plain integers.
    done(unsafe { libc::syscall(libc::SYS_setresgid, id, id, id, 0, 0, token.number()) })?;
    // SAFETY: plain integers.
    done(unsafe { libc::syscall(libc::SYS_setresuid, id, id, id, 0, 0, token.number()) })
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Mounts a tmpfs without executables (noexec) and without access dates (noatime).
pub(crate) fn mount_tmpfs(target: &CStr, options: &CStr, token: FilterToken) -> io::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME;
    let (kind, options) = (c"tmpfs".as_ptr(), options.as_ptr());
    // SAFETY: all pointers are to C strings that outlive the call.
    done(unsafe {
        libc::syscall(libc::SYS_mount, kind, target.as_ptr(), kind, flags, options, token.number())
    })
}

/// Takes a mount out of the tree, even while a process uses it.
pub(crate) fn unmount(target: &CStr, token: FilterToken) -> io::Result<()> {
    let flags = libc::MNT_DETACH;
    // SAFETY: a C string that outlives the call, and integers.
    done(unsafe {
        libc::syscall(libc::SYS_umount2, target.as_ptr(), flags, 0, 0, 0, token.number())
    })
}

/// The earliest date that a file system would give a change now: seconds and nanoseconds.
pub(crate) fn file_clock() -> io::Result<(i64, i64)> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is written by the call.
    match unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut now) } {
        0 => Ok((now.tv_sec, now.tv_nsec)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor for a process that is this one or a child, so that its pid cannot be another's.
pub(crate) fn open_process(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: plain integers; the result is a new descriptor that nothing else owns.
    unsafe {
        match libc::syscall(libc::SYS_pidfd_open, pid, 0) {
            fd @ 0.. => Ok(OwnedFd::from_raw_fd(fd as RawFd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Sets a soft and hard limit of this process. A process that may not raise its limit keeps the
/// lower one that it has.
pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let set = |value| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: setrlimit reads one rlimit.
        let result = unsafe { libc::setrlimit(resource, &limit) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    match set(value) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            set(value.min(hard_limit(resource)?))
        }
        done => done,
    }
}

/// The highest limit that this process may set without a privilege.
pub(crate) fn hard_limit(resource: libc::__rlimit_resource_t) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one rlimit.
    let result = unsafe { libc::getrlimit(resource, &mut limit) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(limit.rlim_max) }
}

/// The restrictions of a mount; see mount_setattr(2).
#[derive(Clone, Copy, Default)]
pub(crate) struct Seal {
    pub(crate) read_only: bool,
    pub(crate) no_devices: bool,
    pub(crate) no_exec: bool,
    /// The restrictions hold for everything mounted below as well.
    pub(crate) recursive: bool,
}

/// Adds restrictions to a mount, always with nosuid among them.
pub(crate) fn seal_mount(path: &CStr, seal: Seal) -> io::Result<()> {
    let flags = if seal.recursive { libc::AT_RECURSIVE } else { 0 };
    set_mount_attributes(libc::AT_FDCWD, path, flags, seal)
}

/// Adds the same restrictions to the mount that a descriptor stands for.
pub(crate) fn seal_mounted(mount: BorrowedFd<'_>, seal: Seal) -> io::Result<()> {
    set_mount_attributes(mount.as_raw_fd(), c"", libc::AT_EMPTY_PATH, seal)
}

fn set_mount_attributes(
    folder: RawFd,
    path: &CStr,
    flags: libc::c_int,
    seal: Seal,
) -> io::Result<()> {
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        userns: u64,
    }
    const RDONLY: u64 = 0x1;
    const NOSUID: u64 = 0x2;
    const NODEV: u64 = 0x4;
    const NOEXEC: u64 = 0x8;
    let when = |condition, bit| if condition { bit } else { 0 };
    let attributes = Attributes {
        set: NOSUID
            | when(seal.read_only, RDONLY)
            | when(seal.no_devices, NODEV)
            | when(seal.no_exec, NOEXEC),
        ..Attributes::default()
    };
    // SAFETY: the structure is mount_attr of the first version, whose size is passed.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            folder,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    })
}

/// Ends this process without running destructors or exit handlers.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) does not return.
    unsafe { libc::_exit(status) }
}
