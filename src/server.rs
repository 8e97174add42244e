//! The composition root: from a configuration to parts. What is served with them is in `server/serve.rs`.

mod chores;
mod manager;
mod orders;
mod serve;
mod successor;

pub use orders::{Order, Orders};
pub use serve::{Ended, serve};
pub use successor::Successor;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::build::{Builder, BuilderOptions, Compiler, GoCache, Toolchain, ToolchainError};
use crate::config::Config;
use crate::invoke::{Capacity, Invoker};
use crate::island::{Backend, Islands, Limits, Standbys, StartError, choose};
use crate::layout::LayoutError;
use crate::listen::{ListenError, PassedError, TlsError};
use crate::net::{WithdrawalError, Withdrawals};
use crate::source::{Fetcher, SourceError, Sources, SourcesOptions};
use crate::state::{State, StateError};
use crate::store::{Store, StoreError, Trash};

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
    /// A place to listen at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The sockets that were passed.
    #[error(transparent)]
    Passed(#[from] PassedError),
    /// The certificate.
    #[error("no TLS can be spoken; see \"tls\"")]
    Tls(#[from] TlsError),
    /// The metrics.
    #[error("{0}")]
    Metrics(String),
    /// The sockets for the program that takes over.
    #[error("the sockets cannot be passed on")]
    PassOn(#[source] std::io::Error),
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
        let islands = Islands::new(backend.clone());
        let parts = Assembly {
            config,
            state: state.path(),
            islands,
            trash: trash.clone(),
            program,
            toolchain,
        };
        let sources = Arc::new(parts.sources()?);
        let builder = Arc::new(parts.builder()?);
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
        Ok(Self { invoker, state, backend, builder, sources, trash })
    }

    /// Ends all islands, and deletes what was on its way out.
    pub async fn close(self) {
        self.invoker.close();
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
