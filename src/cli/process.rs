//! What every subcommand needs of its process: messages, a runtime, a log, descriptors.

/// Prints an error with its causes.
pub(super) fn complain(error: &dyn std::error::Error) {
    eprintln!("sky-island: {}", common::causes::chain(error));
}

/// Raises the soft limit of open files to the hard one: every call takes some descriptors. The soft limit is for programs
/// that use select(2).
pub(super) fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        eprintln!("sky-island: the limit of open files (ulimit -n) could not be raised: {error}");
    }
}

/// The runtime of a subcommand; none, with a message, where the system has no threads for it.
pub(super) fn runtime() -> Option<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.inspect_err(|error| complain(error)).ok()
}

/// Starts the log of a command that a person waits for, on stderr.
pub(super) fn start_log(level: &str) {
    // Only a file can be in the way.
    let _ = server::log::start(level, None);
}
