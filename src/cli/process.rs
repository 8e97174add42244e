//! The process of a subcommand: messages, a runtime, a log, descriptors.

use std::fmt::Arguments;
use std::io::Write;

/// Prints a line on stderr. A stderr that is closed or full is no reason to end.
pub(super) fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints an error with its causes.
pub(super) fn complain(error: &dyn std::error::Error) {
    say(format_args!("sky-island: {}", common::causes::chain(error)));
}

/// Has the ends of children waited for, also under a parent that ignores SIGCHLD: the system would
/// take their exit status away.
pub(super) fn keep_children() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: restoring the default disposition installs no handler.
    let restored = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    if let Err(error) = restored {
        complain(&std::io::Error::from(error));
    }
}

/// Has a write beyond RLIMIT_FSIZE fail, and not end this process. Programs that this one executes
/// have the system's default again.
pub(super) fn keep_running_at_file_limit() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: nix::libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing.
    if let Err(error) = unsafe { sigaction(Signal::SIGXFSZ, &action) } {
        complain(&std::io::Error::from(error));
    }
}

/// Raises the soft limit of open files to the hard limit: every call takes some descriptors. Only
/// programs that use select(2) need the soft limit.
pub(super) fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        say(format_args!("sky-island: cannot raise the limit of open files (ulimit -n): {error}"));
    }
}

/// The runtime of a subcommand; none, with a message, if the system has no threads left.
pub(super) fn runtime() -> Option<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.inspect_err(|error| complain(error)).ok()
}

/// Starts the log of a command for people, on stderr.
pub(super) fn start_log(level: &str) {
    server::log::start_for_command(level);
}
