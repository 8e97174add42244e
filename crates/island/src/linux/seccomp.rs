//! The system calls that an island may make.
//!
//! One list for functions and tools: the calls that an unprivileged program needs for files,
//! memory, threads, time, pipes and sockets. Every other call fails with ENOSYS, as on an older
//! kernel, so that runtimes fall back. Omitted on purpose: calls that mount, trace, load code into
//! the kernel or make namespaces; bpf, io_uring, userfaultfd, perf and keys; inotify, whose few
//! instances the kernel counts for the launcher's user too, so that one island could use up all of
//! root's.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// A secret in unused arguments of a system call, by which the filter tells a zygote's calls from a
/// stranger's: the sixth argument of the calls in [`ZYGOTE_CALLS`], the fourth and the fifth of a
/// clone(2) into a new pid namespace. Each launcher draws a random token. An exec removes it from
/// the process's memory.
#[derive(Clone, Copy)]
pub(crate) struct FilterToken(u64);

impl FilterToken {
    /// The token of a process without a filter.
    pub(crate) const NONE: Self = Self(0);

    /// A random token.
    pub(crate) fn draw() -> std::io::Result<Self> {
        let mut bytes = [0; size_of::<u64>()];
        // SAFETY: the buffer has the length that is passed.
        match unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } {
            8 => Ok(Self(u64::from_ne_bytes(bytes))),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// The privileged calls of a zygote for each island, and of an island's first process before its
/// exec.
const ZYGOTE_CALLS: [i64; 6] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_setgroups,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_capset,
];

/// Compiles the filter of a zygote, which the zygote's islands inherit: to put a filter into force,
/// the kernel evaluates the list for every system call there is, which costs more than everything
/// else that an island needs.
pub(crate) fn compile_for_zygotes(
    token: FilterToken,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules = rules()?;
    let is_token = |argument| {
        let (length, operator) = (SeccompCmpArgLen::Qword, SeccompCmpOp::Eq);
        SeccompCondition::new(argument, length, operator, token.number())
    };
    for number in ZYGOTE_CALLS {
        rules.insert(number, vec![SeccompRule::new(vec![is_token(5)?])?]);
    }
    let clone = SeccompRule::new(vec![is_token(3)?, is_token(4)?])?;
    rules.entry(libc::SYS_clone).or_default().push(clone);
    filter(rules)
}

/// Compiles the filter of islands without a zygote. A launcher does this once.
pub(crate) fn compile() -> Result<BpfProgram, seccompiler::BackendError> {
    filter(rules()?)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn filter(rules: Rules) -> Result<BpfProgram, seccompiler::BackendError> {
    let refused = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(rules, refused, SeccompAction::Allow, arch())?.try_into()
}

/// The calls that an island may make, and with which arguments.
fn rules() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        PLAIN.iter().chain(OLD).map(|number| (*number, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![without_bits(0, NAMESPACES)?]);
    rules.insert(libc::SYS_socket, sockets()?);
    rules.insert(libc::SYS_socketpair, one_of(0, &[libc::AF_UNIX])?);
    let mut prctl = one_of(0, PRCTL)?;
    prctl.push(SeccompRule::new(vec![
        is(0, libc::PR_SET_PDEATHSIG as u64)?,
        is(1, libc::SIGKILL as u64)?,
    ])?);
    rules.insert(libc::SYS_prctl, prctl);
    rules.insert(libc::SYS_ioctl, one_of(1, IOCTL)?);
    rules.insert(libc::SYS_setsockopt, socket_options()?);
    Ok(rules)
}

/// clone(2)'s flags for new namespaces.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// The options of prctl(2) that are allowed with any argument. PR_SET_PDEATHSIG is allowed with
/// SIGKILL alone: an island must end with its launcher.
const PRCTL: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_DUMPABLE,
    libc::PR_SET_DUMPABLE,
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_GET_NO_NEW_PRIVS,
    libc::PR_SET_VMA,
    libc::PR_CAPBSET_READ,
];

/// Requests on descriptors that are no devices: blocking mode, close-on-exec, waiting bytes, and
/// isatty(3).
const IOCTL: &[i32] = &[
    libc::FIONBIO as i32,
    libc::FIOCLEX as i32,
    libc::FIONCLEX as i32,
    libc::FIONREAD as i32,
    libc::TCGETS as i32,
    libc::TIOCGWINSZ as i32,
];

fn one_of(argument: u8, values: &[i32]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    values.iter().map(|value| SeccompRule::new(vec![is(argument, *value as u32 as u64)?])).collect()
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// Streams and datagrams of three families, without protocols for which the kernel would load
/// modules.
fn sockets() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const TYPES: u64 = 0xf;
    let mut rules = Vec::new();
    for (family, protocols) in [
        (libc::AF_UNIX, &[0][..]),
        (libc::AF_INET, &[0, libc::IPPROTO_TCP, libc::IPPROTO_UDP]),
        (libc::AF_INET6, &[0, libc::IPPROTO_TCP, libc::IPPROTO_UDP]),
    ] {
        for protocol in protocols {
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
                if kind == libc::SOCK_SEQPACKET && family != libc::AF_UNIX {
                    continue;
                }
                let masked = SeccompCondition::new(
                    1,
                    SeccompCmpArgLen::Dword,
                    SeccompCmpOp::MaskedEq(TYPES),
                    kind as u64,
                )?;
                let (family, protocol) = (is(0, family as u64)?, is(2, *protocol as u64)?);
                rules.push(SeccompRule::new(vec![family, masked, protocol])?);
            }
        }
    }
    Ok(rules)
}

/// All options of setsockopt(2) except options that bind a socket to an address that the host does
/// not have: IPv6 would even send from such an address, out of an island with an address of its
/// own.
fn socket_options() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const FOREIGN: [(i32, [i32; 2]); 2] = [
        (libc::SOL_IP, [libc::IP_FREEBIND, libc::IP_TRANSPARENT]),
        (libc::SOL_IPV6, [libc::IPV6_FREEBIND, libc::IPV6_TRANSPARENT]),
    ];
    let is_not = |argument, value: i32| {
        let (length, operator) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Ne);
        SeccompCondition::new(argument, length, operator, value as u64)
    };
    let other = FOREIGN.iter().map(|(level, _)| is_not(1, *level)).collect::<Result<_, _>>()?;
    let mut rules = vec![SeccompRule::new(other)?];
    for (level, options) in FOREIGN {
        let [one, two] = options.map(|option| is_not(2, option));
        rules.push(SeccompRule::new(vec![is(1, level as u64)?, one?, two?])?);
    }
    Ok(rules)
}

fn without_bits(argument: u8, bits: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let operator = SeccompCmpOp::MaskedEq(bits);
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, 0)?])
}

#[cfg(target_arch = "x86_64")]
fn arch() -> TargetArch {
    TargetArch::x86_64
}

#[cfg(target_arch = "aarch64")]
fn arch() -> TargetArch {
    TargetArch::aarch64
}

/// fchmodat2(2) has this number on every processor, and libc knows it for some.
const SYS_FCHMODAT2: i64 = 452;

#[rustfmt::skip]
const PLAIN: &[i64] = &[
    // bytes and descriptors
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_lseek, libc::SYS_close,
    libc::SYS_close_range, libc::SYS_dup, libc::SYS_dup3, libc::SYS_fcntl, libc::SYS_pipe2, libc::SYS_eventfd2,
    libc::SYS_copy_file_range, libc::SYS_sendfile, libc::SYS_splice, libc::SYS_tee, libc::SYS_memfd_create,
    // files
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_newfstatat, libc::SYS_fstat, libc::SYS_statx, libc::SYS_statfs,
    libc::SYS_fstatfs, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_readlinkat, libc::SYS_getdents64,
    libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_mkdirat, libc::SYS_unlinkat, libc::SYS_renameat,
    libc::SYS_renameat2, libc::SYS_linkat, libc::SYS_symlinkat, libc::SYS_fchmod, libc::SYS_fchmodat,
    SYS_FCHMODAT2, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_utimensat, libc::SYS_truncate,
    libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_fadvise64, libc::SYS_flock, libc::SYS_fsync,
    libc::SYS_fdatasync, libc::SYS_sync_file_range, libc::SYS_umask,
    // memory
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_mincore,
    libc::SYS_msync, libc::SYS_mlock, libc::SYS_munlock, libc::SYS_brk, libc::SYS_membarrier,
    // processes and threads; clone3 is refused because its flags cannot be seen
    libc::SYS_execve, libc::SYS_execveat, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid,
    libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal,
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getpgid, libc::SYS_setpgid, libc::SYS_getsid,
    libc::SYS_setsid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid,
    libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups, libc::SYS_capget, libc::SYS_set_tid_address,
    libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_futex, libc::SYS_futex_waitv,
    libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity, libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler, libc::SYS_getpriority, libc::SYS_setpriority, libc::SYS_getcpu,
    libc::SYS_prlimit64, libc::SYS_getrlimit, libc::SYS_setrlimit, libc::SYS_getrusage, libc::SYS_times,
    libc::SYS_sysinfo, libc::SYS_uname, libc::SYS_getrandom, libc::SYS_restart_syscall,
    // signals
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigpending, libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigqueueinfo, libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    // time
    libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_clock_nanosleep, libc::SYS_nanosleep,
    libc::SYS_gettimeofday, libc::SYS_getitimer, libc::SYS_setitimer, libc::SYS_timer_create,
    libc::SYS_timer_settime, libc::SYS_timer_gettime, libc::SYS_timer_getoverrun, libc::SYS_timer_delete,
    libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime,
    // waiting
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_ppoll,
    libc::SYS_pselect6,
    // sockets, whose families are limited above
    libc::SYS_bind, libc::SYS_connect, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_shutdown,
    libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_sendto,
    libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_recvmmsg,
    // can only take away
    libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self,
    libc::SYS_seccomp,
];

/// The calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLD: &[i64] = &[
    libc::SYS_open, libc::SYS_creat, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink,
    libc::SYS_mkdir, libc::SYS_rmdir, libc::SYS_unlink, libc::SYS_rename, libc::SYS_link, libc::SYS_symlink,
    libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat,
    libc::SYS_getdents, libc::SYS_pipe, libc::SYS_dup2, libc::SYS_select, libc::SYS_poll, libc::SYS_epoll_create,
    libc::SYS_epoll_wait, libc::SYS_eventfd, libc::SYS_signalfd, libc::SYS_alarm,
    libc::SYS_pause, libc::SYS_time, libc::SYS_getpgrp, libc::SYS_fork, libc::SYS_vfork, libc::SYS_arch_prctl,
];

#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_within_the_kernels_limit() {
        const KERNEL_LIMIT: usize = 4096;
        for program in [compile(), compile_for_zygotes(FilterToken::draw().unwrap())] {
            let length = program.unwrap().len();
            assert!(length < KERNEL_LIMIT, "{length}");
        }
    }

    #[test]
    fn calls_that_could_leave_an_island_are_not_on_the_list() {
        let forbidden = [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
            libc::SYS_keyctl,
            libc::SYS_inotify_init1,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_open_by_handle_at,
            libc::SYS_fsopen,
            libc::SYS_move_mount,
            libc::SYS_mount_setattr,
        ];
        for number in forbidden {
            assert!(!PLAIN.contains(&number) && !OLD.contains(&number), "{number}");
        }
    }
}
