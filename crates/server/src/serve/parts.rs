//! The composition root: from a configuration to the parts that calls need.

use std::path::PathBuf;
use std::sync::Arc;

use host::net::Withdrawals;
use island::{Backend, Islands, WarmPool, choose};

use super::error::StartupError;
use super::factory::{PartsFactory, call_policy};
use crate::calls::{CallService, Capacity};
use crate::compile::{Builder, Toolchain};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::source::Sources;
use crate::state::State;
use crate::store::Trash;

/// The parts that calls need.
pub struct Parts {
    /// Runs calls.
    pub calls: Arc<CallService>,
    /// Counts and times what happens.
    pub metrics: Metrics,
    pub(super) state: State,
    backend: Arc<dyn Backend>,
    pub(super) builder: Arc<Builder>,
    pub(super) sources: Arc<Sources>,
    pub(super) trash: Arc<Trash>,
    pub(super) factory: Arc<PartsFactory>,
}

/// What the parts are built on; it stays as it is while the server runs.
pub(super) struct Foundation {
    pub(super) program: PathBuf,
    pub(super) toolchain: Toolchain,
    pub(super) state: State,
    pub(super) trash: Arc<Trash>,
    pub(super) addresses: Withdrawals,
    pub(super) metrics: Metrics,
    pub(super) backend: Arc<dyn Backend>,
}

impl Parts {
    /// Opens the state directory, starts the backend of islands, and puts the other parts on top of
    /// them.
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
        Self::on(
            Foundation { program, toolchain, state, trash, addresses, metrics, backend },
            config,
        )
    }

    /// Makes the parts.
    pub(super) fn on(foundation: Foundation, config: &Config) -> Result<Self, StartupError> {
        let Foundation { program, toolchain, state, trash, addresses, metrics, backend } =
            foundation;
        let factory = PartsFactory {
            state: state.path().to_owned(),
            islands: Islands::new(backend.clone()).observed(Arc::new(metrics.clone())),
            trash: trash.clone(),
            program,
            toolchain,
        };
        let sources = Arc::new(factory.sources(config)?.counted(metrics.clone()));
        let builder = Arc::new(factory.builder(config)?.counted(metrics.clone()));
        let warm_pool = WarmPool::new(factory.islands.clone(), config.standby.limits());
        let calls = Arc::new(CallService::new(
            sources.clone(),
            builder.clone(),
            warm_pool,
            addresses,
            call_policy(config),
            Capacity { calls: config.limits.call_shares(), running: config.limits.run_shares() },
            metrics.clone(),
        ));
        let factory = Arc::new(factory);
        Ok(Self { calls, metrics, state, backend, builder, sources, trash, factory })
    }

    /// Ends all islands and empties the trash.
    pub async fn close(self) {
        self.calls.close();
        self.backend.close().await;
        // Deleting blocks, and the watchdog's reports go on meanwhile. What a panic leaves is
        // deleted at the next start.
        let _ = tokio::task::spawn_blocking(move || self.trash.empty()).await;
    }

    /// Logs what this host does not isolate or limit, with what to do about it.
    pub(super) fn log_findings(&self) {
        for finding in self.backend.findings() {
            if let Some(remedy) = &finding.remedy {
                tracing::warn!(missing = finding.name, %remedy, "{}", finding.detail);
            }
        }
    }
}
