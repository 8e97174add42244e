//! Why a build failed.

use std::time::Duration;

use island::StartError;

use crate::compile::diagnostics::Diagnostic;
use crate::store::StoreError;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The compiler refuses the call or the package; the text is for the caller.
    #[error("{1}")]
    Refused(Diagnostic, String),
    /// The call names another package than the fetched one.
    #[error(
        "the call begins with {found}, but the package is called {name}; begin with {name} or with the function"
    )]
    Qualifier {
        /// The name in the call.
        found: String,
        /// The name in the package clause.
        name: String,
    },
    /// The build exceeded its time limit.
    #[error("the build exceeded its time limit of {0:?} (jails.build_timeout)")]
    Deadline(Duration),
    /// The compiler or the linker exceeded the memory limit.
    #[error("the build exceeded its memory limit of {0} bytes (limits.build_memory)")]
    Memory(u64),
    /// The build wrote too much to disk.
    #[error("the build exceeded its disk limit of {0} bytes (limits.build_size)")]
    Size(u64),
    /// The compiler printed too much.
    #[error("the compiler printed more than {0} bytes")]
    Output(u64),
    /// Too many builds are waiting.
    #[error(
        "no build slot became free within {0:?} (limits.queue_wait, limits.builds); try again later"
    )]
    Busy(Duration),
    /// The client's own builds hold its whole share.
    #[error(
        "this client's builds hold its whole share of {share} (limits.per_client.builds), and none ended within {wait:?} (limits.queue_wait); try again when one has ended"
    )]
    OverShare {
        /// The most builds of one client at once.
        share: usize,
        /// How long the build waited.
        wait: Duration,
    },
    /// An operator stopped the build.
    #[error("an operator stopped the build")]
    Stopped,
    /// The checkout is not as it was written, and must be fetched again.
    #[error("the checkout is damaged on disk")]
    Damaged,
    /// No island could be started.
    #[error("the build island could not be started")]
    Start(#[from] StartError),
    /// The compiler ended in an unexpected way.
    #[error("the compiler failed: {0}")]
    Broke(String),
    /// The disk failed.
    #[error("the build's files cannot be read or written")]
    Disk(#[from] std::io::Error),
    /// The artifact cache failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BuildError {
    /// Whether another build of the same source would fail likewise.
    pub(super) fn is_of_the_source(&self) -> bool {
        matches!(
            self,
            Self::Refused(..)
                | Self::Qualifier { .. }
                | Self::Deadline(_)
                | Self::Memory(_)
                | Self::Size(_)
                | Self::Output(_)
        )
    }

    /// Whether damaged files of a build cache or a checkout would explain the failure. What the
    /// compiler says of the call alone is about the call.
    pub(super) fn may_be_of_damage(&self) -> bool {
        match self {
            Self::Refused(_, text) => !text.contains("call:") || text.contains("could not import "),
            Self::Broke(_) => true,
            _ => false,
        }
    }
}
