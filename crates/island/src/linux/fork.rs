//! New processes in new namespaces: fork(2) and vfork(2) by way of clone(2), and what parent and
//! child share.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicI32;

use nix::sched::CloneFlags;

use crate::linux::seccomp::FilterToken;
use crate::linux::sys::exit_now;

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
/// # Safety
///
/// The calling process has a single thread. The child is a copy of the calling thread alone: a lock
/// that another thread held (the allocator's, for one) would stay locked in the child for ever, and
/// the data behind the lock would stay half changed.
pub(crate) unsafe fn fork_into(
    flags: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Forked> {
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
    // SAFETY: `args` is the kernel's clone_args with no stack, so this forks; the caller promises a
    // single thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: CLONE_PIDFD stored a new descriptor that nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: pid as libc::pid_t, pidfd })
        }
    }
}

/// A stack for [`run_apart`], with an inaccessible page below it.
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
        // SAFETY: the lowest part of the mapping made above, which nothing uses.
        match unsafe { libc::mprotect(lowest.as_ptr(), Self::GUARD, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, on which no process runs any more.
        unsafe { libc::munmap(self.lowest.as_ptr(), Self::BYTES) };
    }
}

/// Runs `body` in a child with a pid namespace of its own, on this process's memory, as vfork(2)
/// does: this function returns when the child has executed a program or has ended. The kernel
/// writes the child's pid to `noted` before the child runs.
///
/// To copy even a small process's memory, and to throw the copy away at the exec, costs as much as
/// everything else that an island needs. Parent and child never run at the same time, so the effect
/// is that of a call of `body`, except for what `body` does to its process: descriptors, user,
/// signals, folder. Values on the child's stack and heap are not dropped when the child executes a
/// program.
///
/// # Safety
///
/// - The calling process has a single thread.
/// - `body` ends with an exec or with [`exit_now`] on every way that changes memory of the caller,
///   and marks in that memory how far it got. When the mark says that the child ended elsewhere (a
///   signal killed it), memory that `body` can reach may be half changed: the caller then reads
///   nothing but the mark, and ends its process.
pub(crate) unsafe fn run_apart<F: FnMut()>(
    stack: &mut Stack,
    noted: &AtomicI32,
    token: FilterToken,
    mut body: F,
) -> io::Result<()> {
    extern "C" fn enter<F: FnMut()>(body: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the caller's `body`, which the parent does not touch before this process has
        // ended or has executed a program.
        let body = unsafe { &mut *body.cast::<F>() };
        body();
        exit_now(0)
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_NEWPID | libc::CLONE_PARENT_SETTID;
    // The kernel reads neither of the last two arguments without the flags for them.
    let token = token.number() as *mut libc::c_void;
    // SAFETY: the stack is aligned and as long as stated, and runs one child at a time, for whose
    // life this thread, the process's only one, is stopped. `noted` and `body` live longer.
    let pid = unsafe {
        let highest = stack.lowest.as_ptr().byte_add(Stack::BYTES);
        let body = (&raw mut body).cast();
        libc::clone(enter::<F>, highest, flags | libc::SIGCHLD, body, noted.as_ptr(), token, token)
    };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A number that this process shares with the processes that it forks.
pub(crate) struct SharedNumber(std::ptr::NonNull<AtomicI32>);

impl SharedNumber {
    /// A number that is zero.
    pub(crate) fn new() -> io::Result<Self> {
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of one number's size, which the kernel rounds up to a page.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), size_of::<AtomicI32>(), access, flags, -1, 0)
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = std::ptr::NonNull::new(address.cast());
        address.map(Self).ok_or_else(|| io::Error::other("the kernel mapped address 0"))
    }
}

impl std::ops::Deref for SharedNumber {
    type Target = AtomicI32;

    fn deref(&self) -> &AtomicI32 {
        // SAFETY: the mapping lives as long as `self`; every bit pattern is a valid number.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedNumber {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no borrow of it is left.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicI32>()) };
    }
}
