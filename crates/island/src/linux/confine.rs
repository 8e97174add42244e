//! What a process in an island gives up before a stranger's code starts: its user, its limits, its capabilities, most
//! system calls, and the file system beyond what its rights name.
//!
//! Each function is one layer; any of them alone is meant to hold. Their order is fixed by [`crate::linux::child`] and [`crate::linux::zygote::process`].

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

use crate::linux::protocol::ProcessBounds;
use crate::linux::seccomp::FilterToken;
use crate::linux::sys;

/// The user and group inside every island.
pub(crate) const NOBODY: u32 = 65_534;
/// Queued signals and timers of an island. They count for the launcher's user as well, up to the host's limit.
const QUEUED_SIGNALS: u64 = 512;
/// The newest landlock rules that we know how to use; an older kernel applies those that it has.
const LANDLOCK: ABI = ABI::V6;

/// Becomes the island's one user. The mapping behind it has been written by the launcher.
pub(crate) fn become_nobody(token: FilterToken) -> io::Result<()> {
    sys::set_user(NOBODY, token)
}

/// Applies the limits that the kernel keeps for each process. RLIMIT_DATA counts private writable memory, so a Go
/// heap is stopped at the limit while Go's large reservations cost nothing. Where the island has a cgroup, that one is
/// to be met first: it says what happened, where Go's runtime, refused a page, may as well crash without a word of it.
pub(crate) fn limit(bounds: &ProcessBounds, has_group: bool) -> io::Result<()> {
    let data = if has_group { bounds.memory.saturating_mul(2) } else { bounds.memory };
    sys::set_limit(libc::RLIMIT_DATA, data)?;
    sys::set_limit(libc::RLIMIT_NPROC, bounds.processes)?;
    sys::set_limit(libc::RLIMIT_NOFILE, bounds.files)?;
    sys::set_limit(libc::RLIMIT_FSIZE, bounds.file_size)?;
    sys::set_limit(libc::RLIMIT_CORE, 0)?;
    sys::set_limit(libc::RLIMIT_MEMLOCK, 0)?;
    sys::set_limit(libc::RLIMIT_SIGPENDING, QUEUED_SIGNALS)?;
    sys::set_limit(libc::RLIMIT_MSGQUEUE, 0)
}

/// Runs only when nobody else wants the processor, and gives it up at once when somebody does. The lowest nice value
/// alone would keep it to the end of its time slice, of which a call can meet several.
pub(crate) fn yield_processor() -> io::Result<()> {
    // SAFETY: the parameter is a plain structure, all zero as this policy wants it; 0 means this process.
    let result = unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameter)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// No privilege by exec, for this process and all that it forks.
pub(crate) fn keep_privileges_from_programs() -> io::Result<()> {
    sys::drop_bounding()?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// No capability in any set, and an end with the end of whoever forked this process.
pub(crate) fn drop_privileges(token: FilterToken) -> io::Result<()> {
    sys::drop_capabilities(token)?;
    die_with_parent()
}

/// Ends when whoever forked this process does; to be said again after each change of the user.
pub(crate) fn die_with_parent() -> io::Result<()> {
    sys::prctl(libc::PR_SET_DUMPABLE, 0)?;
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
}

/// The landlock rules of an island: everything readable, `writable` folders writable, no TCP and no talk to processes
/// outside unless the island has the network. They take hold at [`seal_files`]. A kernel without landlock, or with an
/// older one, gives what it has; `check` names it.
pub(crate) fn file_rules(writable: &[PathBuf], network: bool) -> Result<RulesetCreated, String> {
    let all = AccessFs::from_all(LANDLOCK);
    let device = AccessFs::from_file(LANDLOCK) & !AccessFs::Execute;
    let create = || -> Result<RulesetCreated, RulesetError> {
        let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
        let rules = rules.handle_access(all)?;
        let scope = Scope::from_all(LANDLOCK);
        if network {
            return rules.scope(scope)?.create();
        }
        rules.handle_access(AccessNet::from_all(LANDLOCK))?.scope(scope)?.create()
    };
    let mut rules = create().map_err(text)?;
    let readable = [(Path::new("/"), AccessFs::from_read(LANDLOCK)), (Path::new("/dev"), device)];
    let writable = writable.iter().map(|path| (path.as_path(), all));
    for (path, access) in readable.into_iter().chain(writable) {
        let folder = PathFd::new(path).map_err(text)?;
        rules = rules.add_rule(PathBeneath::new(folder, access)).map_err(text)?;
    }
    Ok(rules)
}

/// The rules with one file more that may be run.
pub(crate) fn allow_program(
    rules: RulesetCreated,
    program: BorrowedFd<'_>,
) -> Result<RulesetCreated, String> {
    let access = AccessFs::Execute | AccessFs::ReadFile;
    rules.add_rule(PathBeneath::new(program, access)).map_err(text)
}

/// Puts the rules into force.
pub(crate) fn seal_files(rules: RulesetCreated) -> Result<(), String> {
    rules.restrict_self().map(|_| ()).map_err(text)
}

fn text(error: impl std::error::Error) -> String {
    format!("landlock: {error}")
}
