//! The composition root: from a configuration to parts, from parts to a server, and the order of a stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::{
    BuildError, Builder, BuilderOptions, Compiler, GoCache, Toolchain, ToolchainError,
};
use crate::config::Config;
use crate::http::{Access, AccessError, Admin, App, Setting, router};
use crate::invoke::{Capacity, Invoker};
use crate::island::{Backend, Islands, Limits, Standbys, StartError, choose};
use crate::layout::LayoutError;
use crate::metrics::{BadTarget, Metrics, Target};
use crate::net::{WithdrawalError, Withdrawals};
use crate::source::{Fetcher, SourceError, Sources, SourcesOptions};
use crate::state::{AdminToken, State, StateError, TokenError};
use crate::store::{Store, StoreError, Trash};

/// How long calls and connections may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(30);
/// How often the caches are measured.
const PURGE_INTERVAL: Duration = Duration::from_secs(600);
/// How long after the start they are measured first, for calls may be waiting for a server that starts.
const PURGE_DELAY: Duration = Duration::from_secs(10);
/// The environment that the go command and certificates are configured by.
const PASSED_ON: [&str; 16] = [
    "GOPROXY",
    "GONOPROXY",
    "GOPRIVATE",
    "GONOSUMDB",
    "GOSUMDB",
    "GOINSECURE",
    "GOAUTH",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

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
    /// The admin API's token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The way into the admin API.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Where numbers are to be sent.
    #[error("jails.monitoring_addr")]
    Target(#[from] BadTarget),
    /// Our own program.
    #[error("cannot find our own program")]
    Program(#[source] std::io::Error),
}

/// Everything that calls need, put together.
pub struct Parts {
    /// Runs calls.
    pub invoker: Arc<Invoker>,
    /// Counts what happens.
    pub metrics: Metrics,
    state: State,
    backend: Arc<dyn Backend>,
    builder: Arc<Builder>,
    sources: Arc<Sources>,
    trash: Arc<Trash>,
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
        options.pools.count_with(metrics.clone());
        let backend = choose(options).await?;
        let islands = Islands::new(backend.clone()).counted(metrics.clone());
        let parts = Assembly {
            config,
            state: state.path(),
            islands,
            trash: trash.clone(),
            program,
            toolchain,
        };
        let sources = Arc::new(parts.sources()?.counted(metrics.clone()));
        let builder = Arc::new(parts.builder()?.counted(metrics.clone()));
        let standbys = Standbys::new(parts.islands.clone(), config.standby.limits());
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
        Ok(Self { invoker, metrics, state, backend, builder, sources, trash })
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

struct Assembly<'a> {
    config: &'a Config,
    state: &'a Path,
    islands: Islands,
    trash: Arc<Trash>,
    program: PathBuf,
    toolchain: Toolchain,
}

impl Assembly<'_> {
    fn sources(&self) -> Result<Sources, StartupError> {
        let (limits, jails) = (&self.config.limits, &self.config.jails);
        let fetcher = Fetcher {
            islands: self.islands.clone(),
            trash: self.trash.clone(),
            program: self.program.clone(),
            goroot: self.toolchain.goroot().to_owned(),
            env: fetch_environment(self.config),
            certificates: certificates(),
            origins: self.config.sources.order.clone(),
            mirrors: self.config.sources.mirrors.clone(),
            limits: tool_limits(limits.fetch_timeout.get(), limits.fetch_memory.get()),
            size: limits.fetch_size.get(),
        };
        let options = SourcesOptions {
            state: self.state,
            size: limits.checkout_cache.get(),
            expiration: jails.cache_default_expiration.get(),
            keep: jails.cache_purge_after.get(),
            fetches: limits.fetches,
            wait: limits.queue_wait.get(),
        };
        Ok(Sources::open(fetcher, &options)?)
    }

    fn builder(&self) -> Result<Builder, StartupError> {
        let limits = &self.config.limits;
        let keep = self.config.jails.cache_purge_after.get();
        let open =
            |name: &str, bytes| Store::open(self.state.join(name), self.trash.clone(), bytes, keep);
        let compiler = Compiler {
            islands: self.islands.clone(),
            trash: self.trash.clone(),
            program: self.program.clone(),
            toolchain: self.toolchain.clone(),
            limits: tool_limits(self.config.build_deadline(), limits.build_memory.get()),
            size: limits.build_size.get(),
        };
        let cache = GoCache::new(open("gocache", u64::MAX)?, &self.toolchain);
        let options = BuilderOptions {
            store: open("artifacts", limits.artifact_cache.get())?,
            builds: limits.builds,
            wait: limits.queue_wait.get(),
        };
        Ok(Builder::new(compiler, cache, options))
    }
}

fn tool_limits(deadline: Duration, memory: u64) -> Limits {
    Limits { deadline, memory, processes: 0, output: 0, tmp: 0, disk: None }
}

fn fetch_environment(config: &Config) -> Vec<String> {
    let set = [
        ("GOPROXY", &config.go.proxy),
        ("GOSUMDB", &config.go.sumdb),
        ("GOPRIVATE", &config.go.private),
    ];
    let configured = |name: &str| set.iter().find(|(key, _)| *key == name)?.1.clone();
    PASSED_ON
        .iter()
        .filter_map(|name| {
            let value = configured(name).or_else(|| std::env::var(name).ok())?;
            Some(format!("{name}={value}"))
        })
        .collect()
}

/// The files and folders that the environment names for certificates, where islands do not see them anyway.
fn certificates() -> Vec<PathBuf> {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(std::env::var_os);
    let seen =
        |path: &PathBuf| ["/etc/ssl", "/etc/pki", "/usr"].iter().any(|seen| path.starts_with(seen));
    named
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path.exists() && !seen(path))
        .collect()
}

/// Serves until `stop` resolves; then no new connection is taken, calls end, and everything made is given back.
pub async fn serve(
    config: &Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartupError> {
    let statsd: Option<Target> =
        config.jails.monitoring_addr.as_deref().map(str::parse).transpose()?;
    let mut parts = Parts::assemble(config).await?;
    let access = match access(config, &parts.state) {
        Ok(access) => access,
        Err(error) => {
            parts.close().await;
            return Err(error);
        }
    };
    let settings = settings(config);
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
    if let Some(target) = statsd {
        // Numbers are no reason not to serve.
        if let Err(error) = parts.metrics.send_to(target) {
            tracing::warn!(%error, "no numbers are sent: there is no thread for it");
        }
    }
    tracing::info!(%address, state = %parts.state.path().display(), "sky-island serves http://{address}");

    let background = TaskTracker::new();
    let chores = CancellationToken::new();
    background.spawn(
        chores.clone().run_until_cancelled_owned(warm(parts.builder.clone(), config.go.warm)),
    );
    background.spawn(
        chores
            .clone()
            .run_until_cancelled_owned(purge(parts.sources.clone(), parts.builder.clone())),
    );
    background.spawn(chores.clone().run_until_cancelled_owned(empty_trash(parts.trash.clone())));

    let calls = TaskTracker::new();
    let admin = Admin::new(access, move || settings.clone());
    let app = App {
        invoker: parts.invoker.clone(),
        calls: calls.clone(),
        metrics: parts.metrics.clone(),
        admin,
    };
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
    let metrics = parts.metrics.clone();
    parts.close().await;
    metrics.finish();
    Ok(())
}

/// The way into the admin API: by the configured token, or by one that the first start makes and every one uses.
fn access(config: &Config, state: &State) -> Result<Access, StartupError> {
    let header = config.admin_token_header.as_deref();
    if let Some(token) = &config.admin_api_token {
        return Ok(Access::new(header, token)?);
    }
    let AdminToken { text, path, is_new } = state.admin_token()?;
    let what = if is_new { "was made and written" } else { "lies" };
    tracing::info!(path = %path.display(), "the admin API's token {what} there, for none is configured");
    Ok(Access::new(header, &text)?)
}

/// What operators see of the configuration. Nothing in it is secret.
fn settings(config: &Config) -> Vec<Setting> {
    let token = config.admin_api_token.as_ref().map(|_| "(set)");
    let all = [
        ("listen", json!(config.address().to_string())),
        ("state_dir", json!(config.state_dir())),
        ("admin_api_token", json!(token)),
        ("admin_token_header", json!(config.admin_token_header)),
        ("limits.calls", json!(config.limits.calls)),
        ("limits.concurrency", json!(config.limits.concurrency)),
        ("limits.memory", json!(config.limits.memory.get())),
        ("standby.total", json!(config.standby.total)),
        ("jails.build_timeout", json!(config.build_deadline().as_secs_f64())),
        ("jails.exec_timeout", json!(config.function_limits().deadline.as_secs_f64())),
    ];
    let setting = |(key, value): (&str, Value)| Setting {
        key: key.to_owned(),
        value,
        source: "effective".to_owned(),
    };
    all.map(setting).into()
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
        Err(error) => {
            let error = crate::causes::chain(&error);
            tracing::warn!(%error, "the standard library could not be compiled ahead");
        }
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
