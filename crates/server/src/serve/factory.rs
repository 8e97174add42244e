//! Makes the parts that fetch and build as the configuration says: at the start, and again when it
//! changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use island::{Bounds, Islands, Limits, Resources};

use super::error::StartupError;
use crate::calls::CallPolicy;
use crate::compile::Compiler;
use crate::compile::GoCache;
use crate::compile::Toolchain;
use crate::compile::{Builder, BuilderOptions};
use crate::config::Config;
use crate::source::{
    Fetcher, GatePolicy, Proxies, Reach, Sources, SourcesBounds, SourcesOptions, named_places,
};
use crate::store::Store;
use crate::store::Trash;

/// The variables of the server's environment that configure the go command and certificates on
/// fetch islands.
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

/// What the parts are made from that stays as it is while the server runs.
pub(super) struct PartsFactory {
    pub(super) state: PathBuf,
    pub(super) islands: Islands,
    pub(super) trash: Arc<Trash>,
    /// The path of the running program.
    pub(super) program: PathBuf,
    pub(super) toolchain: Toolchain,
}

impl PartsFactory {
    pub(super) fn fetcher(&self, config: &Config) -> Fetcher {
        let (limits, sources) = (&config.limits, &config.sources);
        let env = fetch_environment(config);
        let reach = Reach {
            places: named_places(&sources.mirrors, &env, self.toolchain.goroot()),
            allow: sources.allow.clone(),
            deny: sources.deny.clone(),
            private: sources.private_hosts.clone(),
        };
        let proxies = Proxies::of(|name| std::env::var(name).ok());
        Fetcher {
            islands: self.islands.clone(),
            trash: self.trash.clone(),
            program: self.program.clone(),
            goroot: self.toolchain.goroot().to_owned(),
            env,
            certificates: certificates(),
            origins: sources.order.clone(),
            mirrors: sources.mirrors.clone(),
            gate: Arc::new(GatePolicy::new(reach, proxies)),
            limits: tool_limits(limits.fetch_timeout.get(), limits.fetch_memory.get()),
            size: limits.fetch_size.get(),
        }
    }

    pub(super) fn compiler(&self, config: &Config) -> Compiler {
        Compiler {
            islands: self.islands.clone(),
            trash: self.trash.clone(),
            program: self.program.clone(),
            toolchain: self.toolchain.clone(),
            limits: tool_limits(config.build_deadline(), config.limits.build_memory.get()),
            size: config.limits.build_size.get(),
            replay: config.go.replay,
        }
    }

    pub(super) fn sources(&self, config: &Config) -> Result<Sources, StartupError> {
        let SourcesBounds { size, expiration, keep, wait } = sources_bounds(config);
        let fetches = config.limits.fetch_shares();
        let options = SourcesOptions { state: &self.state, size, expiration, keep, fetches, wait };
        Ok(Sources::open(self.fetcher(config), &options)?)
    }

    pub(super) fn builder(&self, config: &Config) -> Result<Builder, StartupError> {
        let limits = &config.limits;
        let keep = config.jails.cache_purge_after.get();
        let open =
            |name: &str, bytes| Store::open(self.state.join(name), self.trash.clone(), bytes, keep);
        let cache = GoCache::new(open("gocache", u64::MAX)?, &self.toolchain);
        let options = BuilderOptions {
            store: open("artifacts", limits.artifact_cache.get())?,
            builds: limits.build_shares(),
            wait: limits.queue_wait.get(),
        };
        Ok(Builder::new(self.compiler(config), cache, options))
    }
}

/// What calls may use and how long they may wait, as the configuration says.
pub(super) fn call_policy(config: &Config) -> CallPolicy {
    CallPolicy {
        limits: config.function_limits(),
        queue_wait: config.limits.queue_wait.get(),
        timeout: config.call_timeout(),
    }
}

pub(super) fn sources_bounds(config: &Config) -> SourcesBounds {
    SourcesBounds {
        size: config.limits.checkout_cache.get(),
        expiration: config.jails.cache_default_expiration.get(),
        keep: config.jails.cache_purge_after.get(),
        wait: config.limits.queue_wait.get(),
    }
}

fn tool_limits(deadline: Duration, memory: u64) -> Limits {
    let resources = Resources { memory, processes: 0, processor_time: None, tmp: 0, disk: None };
    Limits { resources, bounds: Bounds { deadline, output: 0 } }
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

/// The files and folders of certificates that the environment names, without those below folders
/// that islands have anyway.
fn certificates() -> Vec<PathBuf> {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(std::env::var_os);
    let seen =
        |path: &PathBuf| ["/etc/ssl", "/etc/pki", "/usr"].iter().any(|seen| path.starts_with(seen));
    named
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path.exists() && !seen(path))
        .collect()
}
