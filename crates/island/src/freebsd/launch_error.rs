//! Why the launcher does not start, does not make an island, or does not close a jail.

use crate::freebsd::parts::PartsError;
use crate::freebsd::settling;
use crate::freebsd::sys::JailSetError;

/// Why a launcher did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LauncherError {
    /// A system call that the launcher begins with failed.
    #[error("the launcher cannot {step}")]
    Step {
        /// What the launcher was to do.
        step: &'static str,
        #[source]
        cause: std::io::Error,
    },
    /// The other end of the socket was closed before the first message.
    #[error("the server closed the launcher's socket before its first message")]
    NoServer,
}

/// Why an island was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    /// No descriptor came with the request.
    #[error("the request to make an island came without a control socket")]
    NoControl,
    #[error(transparent)]
    Parts(#[from] PartsError),
    #[error("the jail cannot be made")]
    Jail(#[source] JailSetError),
    #[error("no socket to the first process can be opened")]
    Socket(#[source] std::io::Error),
    #[error("the first process cannot be forked")]
    Fork(#[source] nix::Error),
}

/// Why a jail did not lose `allow.suser` after its first process had changed its user.
#[derive(Debug, thiserror::Error)]
pub(super) enum CloseError {
    #[error("the first process did not change its user within {:?}", settling::LIMIT)]
    Late,
    #[error("the first process cannot be heard")]
    Hear(#[source] nix::Error),
    #[error("the jail cannot be closed")]
    Jail(#[source] JailSetError),
    #[error("the first process cannot be told to go on")]
    Answer(#[source] nix::Error),
}
