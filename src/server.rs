//! The composition root: from a configuration to parts, from parts to a server, and the order of a stop.

mod reload;
mod workshop;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::reload::Reload;
use self::workshop::Workshop;
use crate::build::{BuildError, Builder, Toolchain, ToolchainError};
use crate::config::{Config, Settings};
use crate::http::{App, router};
use crate::invoke::{Capacity, Invoker};
use crate::island::{Backend, Islands, Standbys, StartError, choose};
use crate::layout::LayoutError;
use crate::metrics::Metrics;
use crate::net::{WithdrawalError, Withdrawals};
use crate::source::{SourceError, Sources};
use crate::state::{State, StateError};
use crate::store::{StoreError, Trash};

/// How long calls and connections may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(30);
/// How often the caches are measured.
const PURGE_INTERVAL: Duration = Duration::from_secs(600);
/// How long after the start they are measured first, for calls may be waiting for a server that starts.
const PURGE_DELAY: Duration = Duration::from_secs(10);
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
    /// The address.
    #[error("cannot listen on {0}; set another one with \"listen\"")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The metrics.
    #[error("{0}")]
    Metrics(String),
    /// Our own program.
    #[error("cannot find our own program")]
    Program(#[source] std::io::Error),
}

/// Everything that calls need, put together.
pub struct Parts {
    /// Runs calls.
    pub invoker: Arc<Invoker>,
    state: State,
    backend: Arc<dyn Backend>,
    builder: Arc<Builder>,
    sources: Arc<Sources>,
    trash: Arc<Trash>,
    workshop: Arc<Workshop>,
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
        let backend = choose(options).await?;
        let workshop = Workshop {
            state: state.path().to_owned(),
            islands: Islands::new(backend.clone()),
            trash: trash.clone(),
            program,
            toolchain,
        };
        let sources = Arc::new(workshop.sources(config)?);
        let builder = Arc::new(workshop.builder(config)?);
        let standbys = Standbys::new(workshop.islands.clone(), config.standby.limits());
        let invoker = Arc::new(Invoker::new(
            sources.clone(),
            builder.clone(),
            standbys,
            addresses,
            config.function_limits(),
            Capacity {
                calls: config.limits.calls,
                running: config.limits.concurrency,
                wait: config.limits.queue_wait.get(),
            },
        ));
        Ok(Self { invoker, state, backend, builder, sources, trash, workshop: Arc::new(workshop) })
    }

    /// Ends all islands, and deletes what was on its way out.
    pub async fn close(self) {
        self.invoker.close();
        self.backend.close().await;
        self.trash.empty();
    }

    fn say_what_is_missing(&self) {
        for finding in self.backend.findings() {
            if let Some(remedy) = &finding.remedy {
                tracing::warn!(missing = finding.name, %remedy, "{}", finding.detail);
            }
        }
    }
}

/// Serves until `stop` resolves; then no new connection is taken, calls end, and everything made is given back. At each
/// `hangup` the configuration is read again.
pub async fn serve(
    settings: Settings,
    hangup: Signal,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartupError> {
    let config = settings.config();
    let metrics = match &config.jails.monitoring_addr {
        Some(address) => Metrics::statsd(address).map_err(StartupError::Metrics)?,
        None => Metrics::default(),
    };
    let mut parts = Parts::assemble(config).await?;
    let address = config.address();
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            parts.close().await;
            return Err(StartupError::Listen(address, error));
        }
    };
    let address = listener.local_addr().unwrap_or(address);
    parts.state.announce(address);
    parts.say_what_is_missing();
    tracing::info!(%address, state = %parts.state.path().display(), "sky-island serves http://{address}");

    let background = TaskTracker::new();
    let chores = CancellationToken::new();
    background.spawn(
        chores.clone().run_until_cancelled_owned(warm(parts.builder.clone(), config.go.warm)),
    );
    let reload = Reload::new(settings, &parts);
    background.spawn(chores.clone().run_until_cancelled_owned(reload.at_each(hangup)));
    background.spawn(
        chores
            .clone()
            .run_until_cancelled_owned(purge(parts.sources.clone(), parts.builder.clone())),
    );
    background.spawn(chores.clone().run_until_cancelled_owned(empty_trash(parts.trash.clone())));

    let calls = TaskTracker::new();
    let app = App { invoker: parts.invoker.clone(), calls: calls.clone(), metrics };
    let stopping = CancellationToken::new();
    let connections = crate::http::serve(listener, router(app), stopping.clone().cancelled_owned());
    let served = tokio::spawn(connections);
    tell_manager(NotifyState::Ready);
    stop.await;
    tell_manager(NotifyState::Stopping);
    tracing::info!("stopping");
    stopping.cancel();
    calls.close();
    let rest = async {
        // A connection that fails has nothing to say to anybody.
        let _ = tokio::join!(served, calls.wait());
    };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::warn!(left = calls.len(), "what did not end in time is ended");
    }
    chores.cancel();
    background.close();
    background.wait().await;
    parts.close().await;
    Ok(())
}

/// Tells the service manager, where one has started us and listens (sd_notify(3)).
fn tell_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told how the server is");
    }
}

async fn warm(builder: Arc<Builder>, wanted: bool) {
    if !wanted {
        return;
    }
    match builder.warm().await {
        Ok(()) => {}
        Err(BuildError::Busy) => {}
        Err(error) => tracing::warn!(%error, "the standard library could not be compiled ahead"),
    }
}

async fn purge(sources: Arc<Sources>, builder: Arc<Builder>) {
    tokio::time::sleep(PURGE_DELAY).await;
    loop {
        let (sources, builder) = (sources.clone(), builder.clone());
        let purged = tokio::task::spawn_blocking(move || (sources.purge(), builder.purge())).await;
        if let Ok((checkouts, artifacts)) = purged {
            tracing::debug!(checkouts, artifacts, "bytes in the caches");
        }
        tokio::time::sleep(PURGE_INTERVAL).await;
    }
}

async fn empty_trash(trash: Arc<Trash>) {
    loop {
        trash.filled().await;
        let trash = trash.clone();
        // A panic in there leaves what it was to delete for the next time.
        let _ = tokio::task::spawn_blocking(move || trash.empty()).await;
    }
}
