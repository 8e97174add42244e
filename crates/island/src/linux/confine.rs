//! The restrictions of a process on an island before a stranger's code starts: its user, its
//! limits, its capabilities, its system calls, and the files that it reaches.
//!
//! Each function is one layer; any of them alone is meant to hold. [`crate::linux::child`] and
//! [`crate::linux::zygote::process`] decide the order of the layers.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::linux::protocol::ProcessBounds;
use crate::linux::seccomp::{Filter, FilterToken};
use crate::linux::sys;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, PathFdError,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

/// The user and group inside every island.
pub(crate) const UNPRIVILEGED: u32 = 65_534;
/// The most queued signals and timers of an island. The kernel counts them for the launcher's user
/// as well, up to the host's limit.
const QUEUED_SIGNALS: u64 = 512;
/// The most bytes of a stack, which RLIMIT_DATA does not count; the usual limit.
const STACK: u64 = 8 << 20;
/// The address space of a process beyond its memory, in bytes, where no group counts the kernel's
/// tables of it: 128 MiB of tables at most. Go's runtime and WebAssembly's reserve much and use
/// little.
const ADDRESSES: u64 = 64 << 30;
/// The newest landlock rules that this program knows; an older kernel applies the part it has.
const LANDLOCK: ABI = ABI::V6;

/// Why a process could not be restricted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// A system call failed.
    #[error("{step} failed")]
    Call {
        /// The step that the call belongs to.
        step: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel refused landlock rules.
    #[error("the landlock rules were refused")]
    Rules(#[from] RulesetError),
    /// A folder that landlock rules name cannot be opened.
    #[error("the landlock rules name {path}, which cannot be opened")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: PathFdError,
    },
    /// The kernel refused the system-call filter.
    #[error("the system-call filter was refused")]
    Filter(#[from] seccompiler::Error),
}

/// Names the step that a failed system call belongs to.
fn during(step: &'static str) -> impl FnOnce(io::Error) -> ConfineError {
    move |source| ConfineError::Call { step, source }
}

/// Becomes the island's only user. The launcher has written the mapping behind the user.
pub(crate) fn become_nobody(token: FilterToken) -> Result<(), ConfineError> {
    sys::set_user(UNPRIVILEGED, token).map_err(during("the change of user"))
}

/// Becomes the user and group 0 of this user namespace.
pub(crate) fn become_mapped_root() -> Result<(), ConfineError> {
    sys::set_user(0, FilterToken::NONE).map_err(during("the change of user"))
}

/// Applies the limits that the kernel keeps for each process. RLIMIT_DATA counts private writable
/// memory: a Go heap stops at the limit while Go's large reservations cost nothing. Where the
/// island has a cgroup, the cgroup's limit must be met first: the kernel then reports the kill,
/// whereas Go's runtime, refused a page, may crash without a word.
pub(crate) fn limit(bounds: &ProcessBounds, has_group: bool) -> Result<(), ConfineError> {
    let data = if has_group { bounds.memory.saturating_mul(2) } else { bounds.memory };
    let room = data.saturating_mul(2).saturating_add(ADDRESSES);
    [
        (libc::RLIMIT_DATA, data),
        (libc::RLIMIT_AS, if has_group { libc::RLIM_INFINITY } else { room }),
        (libc::RLIMIT_STACK, STACK),
        (libc::RLIMIT_NPROC, bounds.processes),
        (libc::RLIMIT_NOFILE, bounds.files),
        (libc::RLIMIT_FSIZE, bounds.file_size),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_MEMLOCK, 0),
        (libc::RLIMIT_SIGPENDING, QUEUED_SIGNALS),
        (libc::RLIMIT_MSGQUEUE, 0),
    ]
    .into_iter()
    .try_for_each(|(resource, value)| sys::set_limit(resource, value))
    .map_err(during("setrlimit"))
}

/// Runs only while no other process wants the processor, and yields at once when one does. The
/// lowest nice value alone would keep the processor to the end of a time slice, of which a call can
/// meet several.
pub(crate) fn yield_processor() -> Result<(), ConfineError> {
    // SAFETY: the parameter is a plain structure, all zero as this policy wants it; 0 means this
    // process.
    let result = unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameter)
    };
    match result {
        0.. => Ok(()),
        _ => Err(during("sched_setscheduler")(io::Error::last_os_error())),
    }
}

/// Rules out privileges gained by exec, for this process and all that it forks.
pub(crate) fn keep_privileges_from_programs() -> Result<(), ConfineError> {
    sys::drop_bounding().map_err(during("dropping the capability bounding set"))?;
    // SAFETY: the argument is a switch.
    unsafe { sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1) }.map_err(during("PR_SET_NO_NEW_PRIVS"))
}

/// Empties every set of capabilities, and has this process die with its parent.
pub(crate) fn drop_privileges(token: FilterToken) -> Result<(), ConfineError> {
    sys::drop_capabilities(token).map_err(during("dropping capabilities"))?;
    die_with_parent()
}

/// Has the kernel kill this process when its parent ends. A change of user undoes this, so each
/// change is followed by another call.
pub(crate) fn die_with_parent() -> Result<(), ConfineError> {
    // SAFETY: the argument is a switch.
    unsafe { sys::prctl(libc::PR_SET_DUMPABLE, 0) }.map_err(during("PR_SET_DUMPABLE"))?;
    // SAFETY: the argument is a signal's number.
    unsafe { sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) }
        .map_err(during("PR_SET_PDEATHSIG"))
}

/// The landlock rules of an island: every file readable, `writable` folders writable, and, unless
/// the island has the network, no TCP and no signals or sockets to processes outside. The rules
/// take effect at [`seal_files`]. A kernel without landlock, or with an older one, applies the part
/// it has; `check` reports which.
pub(crate) fn file_rules(
    writable: &[PathBuf],
    network: bool,
) -> Result<RulesetCreated, ConfineError> {
    let all = AccessFs::from_all(LANDLOCK);
    let device = AccessFs::from_file(LANDLOCK) & !AccessFs::Execute;
    let scope = Scope::from_all(LANDLOCK);
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let rules = rules.handle_access(all)?;
    let mut rules = match network {
        true => rules.scope(scope)?.create()?,
        false => rules.handle_access(AccessNet::from_all(LANDLOCK))?.scope(scope)?.create()?,
    };
    let readable = [(Path::new("/"), AccessFs::from_read(LANDLOCK)), (Path::new("/dev"), device)];
    let writable = writable.iter().map(|path| (path.as_path(), all));
    for (path, access) in readable.into_iter().chain(writable) {
        let folder = PathFd::new(path)
            .map_err(|source| ConfineError::Folder { path: path.to_owned(), source })?;
        rules = rules.add_rule(PathBeneath::new(folder, access))?;
    }
    Ok(rules)
}

/// The rules with one more file that may be executed.
pub(crate) fn allow_program(
    rules: RulesetCreated,
    program: BorrowedFd<'_>,
) -> Result<RulesetCreated, ConfineError> {
    let access = AccessFs::Execute | AccessFs::ReadFile;
    Ok(rules.add_rule(PathBeneath::new(program, access))?)
}

/// Puts the rules into effect.
pub(crate) fn seal_files(rules: RulesetCreated) -> Result<(), ConfineError> {
    rules.restrict_self()?;
    Ok(())
}

/// Puts the system-call filter into effect.
pub(crate) fn filter_calls(filter: &Filter) -> Result<(), ConfineError> {
    Ok(filter.apply()?)
}
