//! The composition root: from a configuration to parts. What is served with them is in `server/serve.rs`.

mod admin_auth;
mod background;
mod factory;
mod manager;
mod reload;
mod serve;
mod signals;
mod successor;

pub use serve::{Ended, serve};
pub use signals::{Action, Signals};
pub use successor::Successor;

use std::sync::Arc;

use host::layout::LayoutError;
use host::net::{WithdrawalError, Withdrawals};
use island::{Backend, Islands, StartError, WarmPool, choose};

use self::factory::{PartsFactory, call_policy};
use crate::calls::{CallService, Capacity};
use crate::compile::Builder;
use crate::compile::{Toolchain, ToolchainError};
use crate::config::Config;
use crate::http::AccessError;
use crate::listen::ListenError;
use crate::listen::PassedError;
use crate::listen::TlsError;
use crate::metrics::BadTarget;
use crate::metrics::Metrics;
use crate::source::SourceError;
use crate::source::Sources;
use crate::state::TokenError;
use crate::state::{State, StateError};
use crate::store::StoreError;
use crate::store::Trash;

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The toolchain.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// Where everything lies.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The addresses that are taken out of the pools.
    #[error(transparent)]
    Addresses(#[from] WithdrawalError),
    /// The islands.
    #[error("no islands can be made here; `sky-island check` says more")]
    Islands(#[from] StartError),
    /// The caches.
    #[error("the caches cannot be opened")]
    Store(#[from] StoreError),
    /// The checkouts.
    #[error("the checkouts cannot be opened")]
    Sources(#[from] SourceError),
    /// The disk.
    #[error("the state directory cannot be written")]
    Disk(#[source] std::io::Error),
    /// A place to listen at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The sockets that were passed.
    #[error(transparent)]
    Passed(#[from] PassedError),
    /// The certificate.
    #[error("no TLS can be spoken; see \"tls\"")]
    Tls(#[from] TlsError),
    /// The admin API's token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The way into the admin API.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Where numbers are to be sent.
    #[error("jails.monitoring_addr")]
    Target(#[from] BadTarget),
    /// The sockets for the program that takes over.
    #[error("the sockets cannot be passed on")]
    HandOver(#[source] std::io::Error),
    /// Our own program.
    #[error("cannot find our own program")]
    Program(#[source] std::io::Error),
}

/// Everything that calls need, put together.
pub struct Parts {
    /// Runs calls.
    pub calls: Arc<CallService>,
    /// Counts what happens.
    pub metrics: Metrics,
    state: State,
    backend: Arc<dyn Backend>,
    builder: Arc<Builder>,
    sources: Arc<Sources>,
    trash: Arc<Trash>,
    workshop: Arc<PartsFactory>,
}

impl Parts {
    /// Opens the state directory, starts the backend and puts the rest on top of them.
    pub async fn assemble(config: &Config) -> Result<Self, StartupError> {
        let toolchain = Toolchain::find(config.go_command().as_deref())?;
        let program = std::env::current_exe().map_err(StartupError::Program)?;
        let state = State::open(config.state_dir())?;
        let trash = Arc::new(Trash::open(state.path()).map_err(StartupError::Disk)?);
        let options = config.island_options(toolchain.zones(), config.limits.islands_ahead)?;
        let addresses = Withdrawals::open(config.withdrawals(), options.pools.clone())?;
        let metrics = Metrics::default();
        options.pools.observe(Arc::new(metrics.clone()));
        let backend = choose(options).await?;
        let workshop = PartsFactory {
            state: state.path().to_owned(),
            islands: Islands::new(backend.clone()).observed(Arc::new(metrics.clone())),
            trash: trash.clone(),
            program,
            toolchain,
        };
        let sources = Arc::new(workshop.sources(config)?.counted(metrics.clone()));
        let builder = Arc::new(workshop.builder(config)?.counted(metrics.clone()));
        let warm_pool = WarmPool::new(workshop.islands.clone(), config.standby.limits());
        let calls = Arc::new(CallService::new(
            sources.clone(),
            builder.clone(),
            warm_pool,
            addresses,
            call_policy(config),
            Capacity { calls: config.limits.calls, running: config.limits.concurrency },
            metrics.clone(),
        ));
        let workshop = Arc::new(workshop);
        Ok(Self { calls, metrics, state, backend, builder, sources, trash, workshop })
    }

    /// Ends all islands, and deletes what was on its way out.
    pub async fn close(self) {
        self.calls.close();
        self.backend.close().await;
        // Much may be left to delete, and who watches the server watches meanwhile. A panic leaves it for the next start.
        let _ = tokio::task::spawn_blocking(move || self.trash.empty()).await;
    }

    fn say_what_is_missing(&self) {
        for finding in self.backend.findings() {
            if let Some(remedy) = &finding.remedy {
                tracing::warn!(missing = finding.name, %remedy, "{}", finding.detail);
            }
        }
    }
}
