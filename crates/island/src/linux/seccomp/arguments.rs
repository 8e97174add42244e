//! The system calls of which only some commands, flags or options are allowed.
//!
//! A command that is not known here to concern the calling process alone, or to end with the
//! process, is refused: it could change what other processes of the host see, outlive the process,
//! or take memory of the kernel that no control group counts.

use std::collections::BTreeMap;

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::caller::Caller;

/// The numbers of system calls, and the arguments that a rule is about: any, without a rule.
pub(super) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// clone(2)'s flags for new namespaces.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

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

/// The commands of fcntl(2), besides F_SETFL. Without leases and notifications, which concern an
/// inode; hints, which are written to it; and sizes of pipes, which one user's processes share.
const FCNTL: &[i32] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_GETLK,
    libc::F_GETPIPE_SZ,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];

/// The locks of a process on a part of a file. There is no limit on their number, and no group
/// counts the kernel's memory for them.
const RECORD_LOCKS: &[i32] = &[libc::F_SETLK, libc::F_SETLKW];

/// Such locks of an open file, which conflict within one process too.
const FILE_LOCKS: &[i32] = &[libc::F_OFD_GETLK, libc::F_OFD_SETLK, libc::F_OFD_SETLKW];

/// O_LARGEFILE of the kernel, which libc has as 0 where every file may be large.
#[cfg(target_arch = "x86_64")]
const LARGE_FILE: i32 = 0o100_000;
#[cfg(target_arch = "aarch64")]
const LARGE_FILE: i32 = 0o400_000;

/// The flags of open(2). Without O_ASYNC, O_DIRECT and O_NOATIME. Functions lack O_TMPFILE as well:
/// such a file leaves no mark on its folder, but the next file gets another inode number.
const OPEN: i32 = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_SYNC
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_CLOEXEC
    | libc::O_PATH
    | LARGE_FILE;

/// The flags that F_SETFL may not set.
const NOT_SETFL: i32 = libc::O_ASYNC | libc::O_NOATIME;

/// The flags of mmap(2). Without MAP_HUGETLB, whose pages no group counts; MAP_LOCKED; and
/// MAP_GROWSDOWN, which RLIMIT_DATA takes for a stack and does not count.
const MMAP: i32 = libc::MAP_SHARED
    | libc::MAP_PRIVATE
    | libc::MAP_FIXED
    | libc::MAP_FIXED_NOREPLACE
    | libc::MAP_ANONYMOUS
    | libc::MAP_NORESERVE
    | libc::MAP_POPULATE
    | libc::MAP_NONBLOCK
    | libc::MAP_STACK
    | libc::MAP_DENYWRITE
    | libc::MAP_EXECUTABLE;

/// The advice of madvise(2). Without MADV_MERGEABLE, by which memory of several processes becomes
/// one, and MADV_COLD and MADV_PAGEOUT, which concern the pages of shared files.
const MADVISE: &[i32] = &[
    libc::MADV_NORMAL,
    libc::MADV_RANDOM,
    libc::MADV_SEQUENTIAL,
    libc::MADV_WILLNEED,
    libc::MADV_DONTNEED,
    libc::MADV_FREE,
    libc::MADV_DONTFORK,
    libc::MADV_DOFORK,
    libc::MADV_HUGEPAGE,
    libc::MADV_NOHUGEPAGE,
    libc::MADV_DONTDUMP,
    libc::MADV_DODUMP,
    libc::MADV_WIPEONFORK,
    libc::MADV_KEEPONFORK,
    libc::MADV_POPULATE_READ,
    libc::MADV_POPULATE_WRITE,
    MADV_COLLAPSE,
];
const MADV_COLLAPSE: i32 = 25;

/// The flags of memfd_create(2): all but those for huge pages.
const MEMFD: i32 = (libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) as i32 | MFD_EXECUTABLE;
/// MFD_NOEXEC_SEAL and MFD_EXEC.
const MFD_EXECUTABLE: i32 = 0x18;

/// The flags of pipe2(2). Without O_NOTIFICATION_PIPE.
const PIPE: i32 = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_DIRECT;

/// The commands of membarrier(2) that interrupt the processors of this process's threads alone:
/// MEMBARRIER_CMD_QUERY, _PRIVATE_EXPEDITED and _REGISTER_PRIVATE_EXPEDITED.
const MEMBARRIER: &[i32] = &[0, 1 << 3, 1 << 4];

/// The registers of a thread: ARCH_SET_GS, _SET_FS, _GET_FS and _GET_GS of arch_prctl(2). Without
/// the commands for larger register files and for the behaviour of the processor.
#[cfg(target_arch = "x86_64")]
const ARCH_PRCTL: &[i32] = &[0x1001, 0x1002, 0x1003, 0x1004];

/// The length of an address that is a family and no more: with it bind(2) draws a name for a unix
/// socket, on some kernels from a counter of the whole host.
const FAMILY: i32 = size_of::<libc::sa_family_t>() as i32;

/// The options of sockets of all kinds that may be set and read.
const SOCKET: &[i32] = &[
    libc::SO_REUSEADDR,
    libc::SO_BROADCAST,
    libc::SO_SNDBUF,
    libc::SO_RCVBUF,
    libc::SO_KEEPALIVE,
    libc::SO_OOBINLINE,
    libc::SO_LINGER,
    libc::SO_REUSEPORT,
    libc::SO_RCVLOWAT,
    libc::SO_RCVTIMEO,
    libc::SO_SNDTIMEO,
];
/// Further ones that may be read. Without SO_COOKIE, a counter of the whole host.
const SOCKET_READ: &[i32] = &[
    libc::SO_TYPE,
    libc::SO_ERROR,
    libc::SO_ACCEPTCONN,
    libc::SO_PROTOCOL,
    libc::SO_DOMAIN,
    libc::SO_PEERCRED,
];
const TCP: &[i32] = &[
    libc::TCP_NODELAY,
    libc::TCP_MAXSEG,
    libc::TCP_CORK,
    libc::TCP_KEEPIDLE,
    libc::TCP_KEEPINTVL,
    libc::TCP_KEEPCNT,
    libc::TCP_SYNCNT,
    libc::TCP_LINGER2,
    libc::TCP_DEFER_ACCEPT,
    libc::TCP_WINDOW_CLAMP,
    libc::TCP_QUICKACK,
    libc::TCP_USER_TIMEOUT,
    libc::TCP_NOTSENT_LOWAT,
];
/// Without options that bind a socket to an address that the host does not have.
const IP: &[i32] = &[
    libc::IP_TOS,
    libc::IP_TTL,
    libc::IP_PKTINFO,
    libc::IP_MTU_DISCOVER,
    libc::IP_RECVERR,
    libc::IP_RECVTTL,
    libc::IP_RECVTOS,
    libc::IP_BIND_ADDRESS_NO_PORT,
    libc::IP_MULTICAST_TTL,
    libc::IP_MULTICAST_LOOP,
];
/// Without such options, which would even let an island send from a foreign address, and without
/// flow labels, which outlive their socket.
const IPV6: &[i32] = &[
    libc::IPV6_UNICAST_HOPS,
    libc::IPV6_MTU_DISCOVER,
    libc::IPV6_RECVERR,
    libc::IPV6_V6ONLY,
    libc::IPV6_RECVPKTINFO,
    libc::IPV6_RECVHOPLIMIT,
    libc::IPV6_RECVTCLASS,
    libc::IPV6_TCLASS,
    libc::IPV6_MULTICAST_HOPS,
    libc::IPV6_MULTICAST_LOOP,
];
/// The options of islands that have a network of their own, which goes with the island:
/// memberships of multicast groups leave a record in a network namespace.
const NETWORK: &[(i32, &[i32])] = &[
    (libc::IPPROTO_IP, &[libc::IP_MULTICAST_IF, libc::IP_ADD_MEMBERSHIP, libc::IP_DROP_MEMBERSHIP]),
    (
        libc::IPPROTO_IPV6,
        &[libc::IPV6_MULTICAST_IF, libc::IPV6_ADD_MEMBERSHIP, libc::IPV6_DROP_MEMBERSHIP],
    ),
    (libc::IPPROTO_TCP, &[libc::TCP_FASTOPEN, TCP_FASTOPEN_CONNECT]),
    (libc::IPPROTO_UDP, &[UDP_SEGMENT, UDP_GRO]),
];
const TCP_FASTOPEN_CONNECT: i32 = 30;
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;
/// Further ones of such islands that may be read.
const NETWORK_READ: &[(i32, &[i32])] = &[
    (libc::IPPROTO_TCP, &[libc::TCP_INFO]),
    (libc::IPPROTO_IP, &[libc::IP_MTU]),
    (libc::IPPROTO_IPV6, &[libc::IPV6_MTU]),
];

type Result<T> = std::result::Result<T, BackendError>;

/// The calls that are allowed with some arguments, and those arguments.
pub(super) fn allowed(caller: Caller) -> Result<Rules> {
    let mut prctl = one_of(0, PRCTL)?;
    let death_signal = [is(0, libc::PR_SET_PDEATHSIG)?, is(1, libc::SIGKILL)?];
    prctl.push(SeccompRule::new(death_signal.into())?);
    let mut fcntl = one_of(1, FCNTL)?;
    fcntl.push(SeccompRule::new(vec![is(1, libc::F_SETFL)?, without(2, NOT_SETFL)?])?);
    // A function's are answered before they get here.
    fcntl.extend(one_of(1, RECORD_LOCKS)?);
    let open = if caller == Caller::Tool { OPEN | libc::O_TMPFILE } else { OPEN };
    let mut rules = Rules::from([
        (libc::SYS_clone, vec![SeccompRule::new(vec![without(0, NAMESPACES)?])?]),
        (libc::SYS_socket, sockets()?),
        (libc::SYS_socketpair, one_of(0, &[libc::AF_UNIX])?),
        (libc::SYS_prctl, prctl),
        (libc::SYS_ioctl, one_of(1, IOCTL)?),
        (libc::SYS_openat, vec![SeccompRule::new(vec![only(2, open)?])?]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, vec![SeccompRule::new(vec![only(1, open)?])?]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_arch_prctl, one_of(0, ARCH_PRCTL)?),
        (libc::SYS_bind, vec![SeccompRule::new(vec![is_not(2, FAMILY)?])?]),
        (libc::SYS_pipe2, vec![SeccompRule::new(vec![only(1, PIPE)?])?]),
        (libc::SYS_madvise, one_of(2, MADVISE)?),
        (libc::SYS_membarrier, one_of(0, MEMBARRIER)?),
        (libc::SYS_flock, Vec::new()),
    ]);
    let (is_counted, has_network) = match caller {
        Caller::Function(function) => (function.is_counted, function.has_network),
        Caller::Tool => {
            fcntl.extend(one_of(1, FILE_LOCKS)?);
            (true, true)
        }
    };
    rules.insert(libc::SYS_fcntl, fcntl);
    // Memory that processes share, anonymous or of /dev/zero or memfd_create(2), is in no limit of
    // a process.
    let flags = if is_counted { MMAP } else { MMAP & !libc::MAP_SHARED };
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![only(3, flags)?])?]);
    if is_counted {
        let memfd = SeccompRule::new(vec![only(1, MEMFD)?])?;
        rules.insert(libc::SYS_memfd_create, vec![memfd]);
    }
    if has_network {
        // They can send descriptors, and the kernel counts those on their way for the user, whom an
        // island may share with the server.
        rules.extend([libc::SYS_sendmsg, libc::SYS_sendmmsg].map(|number| (number, Vec::new())));
    }
    let options = |more: &[(i32, &'static [i32])]| {
        let levels = [
            (libc::SOL_SOCKET, SOCKET),
            (libc::IPPROTO_TCP, TCP),
            (libc::IPPROTO_IP, IP),
            (libc::IPPROTO_IPV6, IPV6),
        ];
        let network = has_network.then_some(NETWORK).into_iter().flatten();
        let all = levels.iter().chain(network).chain(more);
        all.map(|(level, options)| {
            let rule = |option: &i32| SeccompRule::new(vec![is(1, *level)?, is(2, *option)?]);
            options.iter().map(rule).collect::<Result<Vec<_>>>()
        })
        .collect::<Result<Vec<_>>>()
        .map(|rules| rules.concat())
    };
    rules.insert(libc::SYS_setsockopt, options(&[])?);
    let mut read = options(&[(libc::SOL_SOCKET, SOCKET_READ)])?;
    if has_network {
        read = options(&[&[(libc::SOL_SOCKET, SOCKET_READ)], NETWORK_READ].concat())?;
    }
    rules.insert(libc::SYS_getsockopt, read);
    Ok(rules)
}

/// The calls that are answered with success and not executed.
///
/// Locks of a process on parts of a file conflict with no other lock of the process, and an island
/// runs one program: they succeed, as they would, without taking the kernel's memory. Where the
/// device files are the host's, so do locks on whole files, which other processes of the host would
/// see.
pub(super) fn answered(caller: Caller) -> Result<Rules> {
    let Caller::Function(function) = caller else { return Ok(Rules::new()) };
    let mut rules = Rules::from([(libc::SYS_fcntl, one_of(1, RECORD_LOCKS)?)]);
    if !function.has_own_devices {
        rules.insert(libc::SYS_flock, Vec::new());
    }
    Ok(rules)
}

/// Streams and datagrams of three families, without protocols for which the kernel would load
/// modules.
fn sockets() -> Result<Vec<SeccompRule>> {
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
                rules.push(SeccompRule::new(vec![is(0, family)?, masked, is(2, *protocol)?])?);
            }
        }
    }
    Ok(rules)
}

/// The argument has one of these values.
fn one_of(argument: u8, values: &[i32]) -> Result<Vec<SeccompRule>> {
    values.iter().map(|value| SeccompRule::new(vec![is(argument, *value)?])).collect()
}

fn is(argument: u8, value: i32) -> Result<SeccompCondition> {
    let (length, value) = (SeccompCmpArgLen::Dword, u64::from(value as u32));
    SeccompCondition::new(argument, length, SeccompCmpOp::Eq, value)
}

fn is_not(argument: u8, value: i32) -> Result<SeccompCondition> {
    let (length, value) = (SeccompCmpArgLen::Dword, u64::from(value as u32));
    SeccompCondition::new(argument, length, SeccompCmpOp::Ne, value)
}

/// The argument has no other bits than these.
fn only(argument: u8, bits: i32) -> Result<SeccompCondition> {
    without(argument, !bits)
}

/// The argument has none of these bits.
fn without(argument: u8, bits: i32) -> Result<SeccompCondition> {
    let operator = SeccompCmpOp::MaskedEq(u64::from(bits as u32));
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, 0)
}
