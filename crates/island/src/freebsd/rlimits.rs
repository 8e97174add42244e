//! The limits of an island's processes (setrlimit(2)), and what a limit of 0 means to the kernel.
//!
//! Invariants: a limit whose 0 means no limit is never 0. The kernel checks the limits that it
//! counts for each user by one function, `chglimit` of sys/kern/kern_resource.c, which takes 0 for
//! no limit; the others are compared with what a process asks for. A function's user is its own,
//! so a limit on the user is a limit on the function; all tools of one kind share a user.

use crate::freebsd::protocol::ProcessBounds;

/// The kqueues that a function may have: each Go program has one.
const KQUEUES: u64 = 128;
/// Bytes that the buffers of a function's sockets may hold in the kernel, in and out together.
const SOCKET_BUFFERS: u64 = 64 << 20;

/// What a limit is of. The numbers are those of sys/sys/resource.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The size of a file.
    FileSize = 1,
    /// The size of a core.
    Core = 4,
    /// Locked memory.
    Locked = 6,
    /// The processes of the user.
    Processes = 7,
    /// The descriptors of a process.
    Files = 8,
    /// The buffers of the user's sockets.
    SocketBuffers = 9,
    /// The address space of a process.
    AddressSpace = 10,
    /// The pseudo-terminals of the user.
    Terminals = 11,
    /// The kqueues of the user.
    Kqueues = 13,
    /// The locks of the user that processes share.
    SharedLocks = 14,
}

/// What the kernel takes a limit of 0 for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// A process gets none of it.
    Nothing,
    /// There is no limit.
    NoLimit,
}

impl Limit {
    /// What the kernel takes 0 for, by the function of the kernel that compares.
    pub fn zero(self) -> Zero {
        match self {
            // vn_rlimit_fsize: the end of the write is beyond 0.
            Self::FileSize => Zero::Nothing,
            // coredump: 0 makes no core.
            Self::Core => Zero::Nothing,
            // sys_mlock, vm_map_wire: the pages are more than 0.
            Self::Locked => Zero::Nothing,
            // falloc: the descriptor is not below 0.
            Self::Files => Zero::Nothing,
            // chgsbsize, which looks for 0 before it asks chglimit.
            Self::SocketBuffers => Zero::Nothing,
            // vm_map_find and others: the size is more than 0.
            Self::AddressSpace => Zero::Nothing,
            // chgproccnt, chgptscnt, chgkqcnt, chgumtxcnt: chglimit.
            Self::Processes | Self::Terminals | Self::Kqueues | Self::SharedLocks => Zero::NoLimit,
        }
    }
}

/// The limits of a process. A function's are those of its user as well.
///
/// RLIMIT_SWAP is none of them: the kernel looks at it only where `vm.overcommit` says so, and rctl
/// `swapuse` always acts.
pub fn rlimits(bounds: &ProcessBounds) -> Vec<(Limit, u64)> {
    let mut all = vec![
        (Limit::AddressSpace, bounds.address_space),
        (Limit::Files, bounds.files),
        (Limit::FileSize, bounds.file_size),
        (Limit::Core, 0),
        (Limit::Locked, 0),
        // rctl `pseudoterminals` denies the one as well, where the kernel counts resources.
        (Limit::Terminals, 1),
        (Limit::SharedLocks, 1),
    ];
    if let Some(processes) = bounds.processes {
        all.push((Limit::Kqueues, KQUEUES));
        all.push((Limit::SocketBuffers, SOCKET_BUFFERS));
        all.push((Limit::Processes, processes.max(1)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(processes: Option<u64>) -> ProcessBounds {
        ProcessBounds { address_space: 1 << 30, processes, files: 64, file_size: 0 }
    }

    #[test]
    fn no_limit_is_lifted_by_a_zero() {
        for processes in [None, Some(0), Some(1), Some(20)] {
            for (limit, most) in rlimits(&bounds(processes)) {
                assert!(most > 0 || limit.zero() == Zero::Nothing, "{limit:?} of {processes:?}");
            }
        }
    }

    #[test]
    fn a_function_takes_little_of_what_all_users_share() {
        let all = rlimits(&bounds(Some(20)));
        let most = |limit| all.iter().find(|(other, _)| *other == limit).map(|(_, most)| *most);
        assert_eq!(most(Limit::Terminals), Some(1));
        assert_eq!(most(Limit::SharedLocks), Some(1));
        assert_eq!(most(Limit::Kqueues), Some(KQUEUES));
        assert_eq!(most(Limit::SocketBuffers), Some(SOCKET_BUFFERS));
        assert_eq!(most(Limit::Processes), Some(20));
        assert_eq!((most(Limit::Core), most(Limit::Locked)), (Some(0), Some(0)));
    }

    #[test]
    fn tools_that_share_a_user_have_no_limit_on_what_one_tool_needs() {
        let of_users = [Limit::Processes, Limit::Kqueues, Limit::SocketBuffers];
        let all = rlimits(&bounds(None));
        assert!(!all.iter().any(|(limit, _)| of_users.contains(limit)), "{all:?}");
    }
}
