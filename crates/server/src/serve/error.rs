//! Why a server cannot start.

use host::layout::LayoutError;
use host::net::WithdrawalError;
use island::StartError;

use crate::compile::ToolchainError;
use crate::http::AccessError;
use crate::listen::{ListenError, PassedError, TlsError};
use crate::metrics::BadTarget;
use crate::source::SourceError;
use crate::state::{StateError, TokenError};
use crate::store::StoreError;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no Go toolchain that can be used.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The names of datasets and folders cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The list of withdrawn addresses cannot be read.
    #[error(transparent)]
    Addresses(#[from] WithdrawalError),
    /// The backend of islands cannot start.
    #[error("this host cannot make islands; run `sky-island check` to see why")]
    Islands(#[from] StartError),
    /// The cache of artifacts cannot be opened.
    #[error("the cache of artifacts in the state directory (state_dir) cannot be opened")]
    Store(#[from] StoreError),
    /// The cache of checkouts cannot be opened.
    #[error("the cache of checkouts in the state directory (state_dir) cannot be opened")]
    Sources(#[from] SourceError),
    /// The state directory cannot be written.
    #[error("the state directory (state_dir) cannot be written")]
    Disk(#[source] std::io::Error),
    /// An endpoint cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A socket of the service manager cannot be used.
    #[error(transparent)]
    Passed(#[from] PassedError),
    /// The certificate cannot be used.
    #[error("HTTPS cannot be served; correct tls.cert and tls.key")]
    Tls(#[from] TlsError),
    /// The token of the admin API cannot be read or written.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The header or the token of the admin API cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The StatsD server is not named as one can be.
    #[error("jails.monitoring_addr cannot be used")]
    Target(#[from] BadTarget),
    /// The sockets cannot be handed over.
    #[error("the sockets cannot be handed over to the program that takes over")]
    HandOver(#[source] std::io::Error),
    /// The path of the running program cannot be found.
    #[error("the path of the running program cannot be found")]
    Program(#[source] std::io::Error),
}
