//! The system calls that an island may make.
//!
//! One list for functions and tools: the calls that an unprivileged program needs for files,
//! memory, threads, time, pipes and sockets, and of calls with commands, flags or options the ones
//! that are known to end with the process. Every other call fails with ENOSYS, as on an older
//! kernel, so that runtimes fall back. Omitted on purpose: calls that mount, trace, load code into
//! the kernel or make namespaces; bpf, io_uring, userfaultfd, perf and keys; inotify, whose few
//! instances the kernel counts for the launcher's user too, so that one island could use up all of
//! root's; seccomp(2), whose filters lie in memory of the kernel that no group counts; openat2(2),
//! whose flags a filter cannot see.

mod arguments;
pub(crate) mod caller;
mod list;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use arguments::Rules;
use caller::{Caller, FunctionCaller};
use list::{OLD, PLAIN};

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

/// A compiled filter.
pub(crate) struct Filter {
    /// Allows the calls on the list.
    list: BpfProgram,
    /// Answers calls without executing them.
    answers: Option<BpfProgram>,
}

impl Filter {
    /// The filter of islands without a zygote. A launcher compiles each once.
    pub(crate) fn new(caller: Caller) -> Result<Self, BackendError> {
        Self::of(rules(caller)?, caller)
    }

    /// The filter of a zygote, which the zygote's islands inherit: to put a filter into force, the
    /// kernel evaluates the list for every system call there is, which costs more than everything
    /// else that an island needs.
    pub(crate) fn of_zygotes(
        token: FilterToken,
        caller: FunctionCaller,
    ) -> Result<Self, BackendError> {
        let caller = Caller::Function(caller);
        let mut rules = rules(caller)?;
        let is_token = |argument| {
            let (length, operator) = (SeccompCmpArgLen::Qword, SeccompCmpOp::Eq);
            SeccompCondition::new(argument, length, operator, token.number())
        };
        for number in ZYGOTE_CALLS {
            rules.insert(number, vec![SeccompRule::new(vec![is_token(5)?])?]);
        }
        let clone = SeccompRule::new(vec![is_token(3)?, is_token(4)?])?;
        rules.entry(libc::SYS_clone).or_default().push(clone);
        Self::of(rules, caller)
    }

    fn of(rules: Rules, caller: Caller) -> Result<Self, BackendError> {
        let refused = SeccompAction::Errno(libc::ENOSYS as u32);
        let list = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch())?.try_into()?;
        let answered = arguments::answered(caller)?;
        let answers = (!answered.is_empty()).then(|| {
            // The error number 0 is success.
            let done = SeccompAction::Errno(0);
            SeccompFilter::new(answered, SeccompAction::Allow, done, arch())?.try_into()
        });
        Ok(Self { list, answers: answers.transpose()? })
    }

    /// Puts the filter into force for this process and all that it forks.
    pub(crate) fn apply(&self) -> Result<(), seccompiler::Error> {
        // The list allows no further filter, so it comes last. Where one filter allows a call and
        // the other answers it, the answer counts.
        self.answers.iter().chain([&self.list]).try_for_each(|it| seccompiler::apply_filter(it))
    }
}

/// The calls that an island may make, and with which arguments.
fn rules(caller: Caller) -> Result<Rules, BackendError> {
    let plain = PLAIN.iter().chain(OLD).map(|number| (*number, Vec::new()));
    let mut rules = arguments::allowed(caller)?;
    rules.extend(plain);
    Ok(rules)
}

#[cfg(target_arch = "x86_64")]
fn arch() -> TargetArch {
    TargetArch::x86_64
}

#[cfg(target_arch = "aarch64")]
fn arch() -> TargetArch {
    TargetArch::aarch64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers() -> Vec<FunctionCaller> {
        let all = (0..8).map(|bits| FunctionCaller {
            has_network: bits & 1 != 0,
            has_own_devices: bits & 2 != 0,
            is_counted: bits & 4 != 0,
        });
        all.collect()
    }

    #[test]
    fn the_filters_compile_within_the_kernels_limit() {
        const KERNEL_LIMIT: usize = 4096;
        let token = FilterToken::draw().unwrap();
        let functions = callers().into_iter().flat_map(|caller| {
            [Filter::new(Caller::Function(caller)), Filter::of_zygotes(token, caller)]
        });
        for filter in functions.chain([Filter::new(Caller::Tool)]) {
            let filter = filter.unwrap();
            let length = filter.list.len() + filter.answers.map_or(0, |answers| answers.len());
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
            libc::SYS_openat2,
            libc::SYS_seccomp,
            libc::SYS_sync,
            libc::SYS_syncfs,
            libc::SYS_fsetxattr,
            libc::SYS_mlock2,
            libc::SYS_mq_open,
            libc::SYS_shmget,
            libc::SYS_memfd_secret,
        ];
        for caller in callers().into_iter().map(Caller::Function).chain([Caller::Tool]) {
            let rules = rules(caller).unwrap();
            for number in forbidden {
                assert!(!rules.contains_key(&number), "{number} of {caller:?}");
            }
        }
    }
}
