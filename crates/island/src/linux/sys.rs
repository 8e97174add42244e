//! The system calls that have no safe wrapper elsewhere, one small function each.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicI32;

use nix::sched::CloneFlags;

use crate::linux::seccomp::FilterToken;

/// Both sides of a [`fork_into`].
pub(crate) enum Forked {
    /// In the parent: the child's pid and a descriptor for it.
    Parent { pid: libc::pid_t, pidfd: OwnedFd },
    /// In the child.
    Child,
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks into new namespaces (clone3(2)), and into a cgroup of version 2 when one is given.
///
/// The caller must have a single thread: the child is a copy of that thread alone, and a lock that another thread
/// held would stay locked in it for ever.
pub(crate) fn fork_into(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: flags.bits() as u64 | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    // clone3(2); the constant in libc is too narrow for it.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is the kernel's clone_args with no stack, so this forks; the caller has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: pid as libc::pid_t, pidfd })
        }
    }
}

/// A stack for [`run_apart`], with a page below it that nobody may touch.
pub(crate) struct Stack {
    lowest: std::ptr::NonNull<libc::c_void>,
}

impl Stack {
    const BYTES: usize = 512 * 1024;
    /// At least a page of every system.
    const GUARD: usize = 64 * 1024;

    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let lowest = unsafe { libc::mmap(std::ptr::null_mut(), Self::BYTES, access, flags, -1, 0) };
        if lowest == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let lowest = std::ptr::NonNull::new(lowest).ok_or(io::ErrorKind::InvalidData)?;
        let stack = Self { lowest };
        // SAFETY: the lowest part of our own mapping, which nothing uses.
        match unsafe { libc::mprotect(lowest.as_ptr(), Self::GUARD, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody runs on any more.
        unsafe { libc::munmap(self.lowest.as_ptr(), Self::BYTES) };
    }
}

/// Runs `deed` in a child with a pid namespace of its own, on this process's memory, as vfork(2) does: this returns when
/// the child has become a program or has ended. The child's number is in `noted` before it runs.
///
/// To copy even a small process's memory, and to throw the copy away at the exec, costs as much as all else that an
/// island needs. Two never run in it at one time, so it is as if `deed` were called, but for what it does to its process:
/// descriptors, user, signals, folder. What it has on the heap when it becomes a program is never dropped. One that ended
/// otherwise may have left anything half done; the caller finds out, and then uses this memory no more.
pub(crate) fn run_apart<F: FnMut()>(
    stack: &mut Stack,
    noted: &AtomicI32,
    token: FilterToken,
    mut deed: F,
) -> io::Result<()> {
    extern "C" fn enter<F: FnMut()>(deed: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the caller's `deed`, which it does not touch before this process has ended or become another.
        let deed = unsafe { &mut *deed.cast::<F>() };
        deed();
        exit_now(0)
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_NEWPID | libc::CLONE_PARENT_SETTID;
    // The kernel looks at neither of the last two without the flags for them.
    let token = token.number() as *mut libc::c_void;
    // SAFETY: the stack is as long as is said, aligned, and runs one child at a time, for whose life this thread, the
    // only one, is stopped. `noted` and `deed` live longer than that.
    let pid = unsafe {
        let highest = stack.lowest.as_ptr().byte_add(Stack::BYTES);
        let deed = (&raw mut deed).cast();
        libc::clone(enter::<F>, highest, flags | libc::SIGCHLD, deed, noted.as_ptr(), token, token)
    };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// SIGKILL to the process behind a descriptor. One that has ended already is no error.
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

/// Strings as execve(2) wants them.
pub(crate) struct Words {
    pointers: Vec<*const libc::c_char>,
    /// What they point to.
    _strings: Vec<CString>,
}

impl Words {
    /// Fails for a string with a NUL in it.
    pub(crate) fn new(strings: &[String]) -> Result<Self, std::ffi::NulError> {
        let strings = strings.iter().map(|text| CString::new(text.as_str()));
        let strings = strings.collect::<Result<Vec<_>, _>>()?;
        let pointers = strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Ok(Self { pointers, _strings: strings })
    }
}

/// Becomes the program behind `program`, or the one at `path` when there is none; returns only the failure.
pub(crate) fn exec(program: Option<RawFd>, path: &CStr, args: &Words, env: &Words) -> io::Error {
    let (argv, envp) = (args.pointers.as_ptr(), env.pointers.as_ptr());
    let (fd, name, flags) = match program {
        Some(fd) => (fd, c"", libc::AT_EMPTY_PATH),
        None => (libc::AT_FDCWD, path, 0),
    };
    // SAFETY: argv and envp are null-terminated arrays of C strings that outlive the call.
    unsafe { libc::syscall(libc::SYS_execveat, fd, name.as_ptr(), argv, envp, flags) };
    io::Error::last_os_error()
}

/// Closes every descriptor from `first` on, except the ones in `keep`.
pub(crate) fn close_all_from(first: RawFd, keep: &[RawFd]) {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let mut from = first;
    for fd in keep.into_iter().chain([RawFd::MAX]) {
        if from < fd {
            // SAFETY: plain integers. The owners of these descriptors are never dropped: the caller is a new
            // process about to exec.
            unsafe { libc::syscall(libc::SYS_close_range, from as u32, fd as u32 - 1, 0) };
        }
        from = fd.saturating_add(1);
    }
}

/// One prctl(2) with integer arguments.
pub(crate) fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: only used with options whose arguments are integers; the unused ones are zero as they must be.
    let result = unsafe {
        libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The highest capability number to try; the kernel answers EINVAL above its own last one.
const CAPABILITIES: libc::c_ulong = 64;

/// Gives up, for ever, every capability that an exec could bring back.
pub(crate) fn drop_bounding() -> io::Result<()> {
    for capability in 0..CAPABILITIES {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            result => result?,
        }
    }
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong)
}

/// Gives up every capability that this process has.
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

/// Has this user and group in every place where a process has one, and no other groups.
pub(crate) fn set_user(id: u32, token: FilterToken) -> io::Result<()> {
    let none = std::ptr::null::<libc::gid_t>();
    // SAFETY: plain integers; the list of groups is empty.
    match done(unsafe { libc::syscall(libc::SYS_setgroups, 0, none, 0, 0, 0, token.number()) }) {
        // An ordinary user's launcher may not change groups, and has no others to lose that the island could use: ids
        // without a mapping match nothing.
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

/// Mounts a tmpfs on which nothing runs and no access is dated.
pub(crate) fn mount_tmpfs(target: &CStr, options: &CStr, token: FilterToken) -> io::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME;
    let (kind, options) = (c"tmpfs".as_ptr(), options.as_ptr());
    // SAFETY: all pointers are to C strings that outlive the call.
    done(unsafe {
        libc::syscall(libc::SYS_mount, kind, target.as_ptr(), kind, flags, options, token.number())
    })
}

/// Takes a mount out of the tree, whoever still uses it.
pub(crate) fn unmount(target: &CStr, token: FilterToken) -> io::Result<()> {
    let flags = libc::MNT_DETACH;
    // SAFETY: a C string that outlives the call, and integers.
    done(unsafe {
        libc::syscall(libc::SYS_umount2, target.as_ptr(), flags, 0, 0, 0, token.number())
    })
}

/// The date that a file system would give a change now, at the least: seconds and nanoseconds.
pub(crate) fn file_clock() -> io::Result<(i64, i64)> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is written by the call.
    match unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut now) } {
        0 => Ok((now.tv_sec, now.tv_nsec)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor for a process that is this one or a child, whose number is nobody else's.
pub(crate) fn open_process(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: plain integers; the result is a new descriptor that nobody else owns.
    unsafe {
        match libc::syscall(libc::SYS_pidfd_open, pid, 0) {
            fd @ 0.. => Ok(OwnedFd::from_raw_fd(fd as RawFd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A number that this process shares with those that it forks.
pub(crate) struct SharedNumber(std::ptr::NonNull<AtomicI32>);

impl SharedNumber {
    /// Zero at first.
    pub(crate) fn new() -> io::Result<Self> {
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of one number's size, which the kernel makes a page.
        let place = unsafe {
            libc::mmap(std::ptr::null_mut(), size_of::<AtomicI32>(), access, flags, -1, 0)
        };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let place = std::ptr::NonNull::new(place.cast());
        place.map(Self).ok_or_else(|| io::Error::other("mapped nowhere"))
    }
}

impl std::ops::Deref for SharedNumber {
    type Target = AtomicI32;

    fn deref(&self) -> &AtomicI32 {
        // SAFETY: mapped until it is dropped; all bits are a number.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedNumber {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; nobody has borrowed it any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicI32>()) };
    }
}

/// Sets a soft and hard limit of this process.
pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: setrlimit reads one rlimit.
    let result = unsafe { libc::setrlimit(resource, &limit) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a mount forbids; see mount_setattr(2).
#[derive(Clone, Copy, Default)]
pub(crate) struct Seal {
    pub(crate) read_only: bool,
    pub(crate) no_devices: bool,
    pub(crate) no_exec: bool,
    /// Everything mounted below it as well.
    pub(crate) recursive: bool,
}

/// Adds restrictions to a mount; set-user-id is always among them.
pub(crate) fn seal_mount(path: &CStr, seal: Seal) -> io::Result<()> {
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
    let flags = if seal.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the structure is mount_attr of the first version, whose size is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends this process without running anything on the way out.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) does not return.
    unsafe { libc::_exit(status) }
}
