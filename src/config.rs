//! The one optional JSON file: its form, its defaults, and what must hold for it to be used.
//!
//! The keys of the 2017 server keep their names and places; `listen`, `state_dir`, `limits`, `sources` and `go` are
//! new. Everything has a default. [`Config::validate`] reports all problems at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

mod host;
mod islands;
mod limits;
mod listen;
mod network;
mod standby;
mod units;

pub use limits::Limits;
pub use listen::{Places, Tls};
pub use network::Network;
pub use standby::Standby;
pub use units::{Bytes, Span};

use crate::init::{GoVersion, SetName, Sha256};
use crate::listen::Origin;
use crate::source::{Mirror, Origin as Source};

/// The port that clients of 2017 know.
pub const PORT: u16 = 3281;

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The FreeBSD release of the base system.
    pub release: Option<String>,
    /// Listens on all addresses at this port, as in 2017. `listen` wins over it.
    pub http_port: Option<u16>,
    /// Where to listen: an address and port, `unix:` and a path, or a list of such.
    pub listen: Option<Places>,
    /// The certificate that is shown there.
    pub tls: Option<Tls>,
    /// The origins whose pages may call from a browser.
    pub cors_origins: Vec<Origin>,
    /// Connections at once; by default 4096. Further ones wait in the system's own queue.
    pub connections: Option<usize>,
    /// How long a connection may take to send the head of its next request; by default 60s.
    pub head_wait: Option<Span>,
    /// How long calls may go on after the signal to stop; by default 30s.
    pub shutdown_grace: Option<Span>,
    /// The token of the admin API.
    pub admin_api_token: Option<String>,
    /// The header that carries the token.
    pub admin_token_header: Option<String>,
    /// The Go release that `init` installs.
    pub go_version: Option<GoVersion>,
    /// Where `init` downloads Go from; by default go.dev.
    pub go_mirror: Option<crate::init::Mirror>,
    /// An archive of Go on this host, which `init` uses instead.
    pub go_tarball: Option<PathBuf>,
    /// The SHA-256 sum of Go's archive; by default the one beside `go_tarball`, or the published one.
    pub go_sha256: Option<Sha256>,
    /// Where `init` looks for the base system's archives.
    pub base_sys_pkg_dir: Option<PathBuf>,
    /// The distribution sets of the base system; by default `base`.
    pub base_packages: Option<Vec<SetName>>,
    /// Where `init` downloads them from; by default the FreeBSD project's site.
    pub release_mirror: Option<crate::init::Mirror>,
    /// Whether `init` brings the release's updates into the base system.
    pub freebsd_update: bool,
    /// FreeBSD's datasets.
    pub filesystem: Filesystem,
    /// The pool of addresses.
    pub network: Network,
    /// Islands, by the name that they had in 2017.
    pub jails: Jails,
    /// Where caches and scratch files lie.
    pub state_dir: Option<PathBuf>,
    /// What calls may use.
    pub limits: Limits,
    /// Islands that stand by.
    pub standby: Standby,
    /// Where source comes from.
    pub sources: Sources,
    /// The Go toolchain.
    pub go: Go,
}

/// FreeBSD's datasets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filesystem {
    /// The dataset below which all of ours lie.
    pub zfs_dataset: Option<String>,
    /// Whether they are compressed; by default as the dataset that they lie in is.
    pub compression: Option<bool>,
}

/// Islands and caches, by their names of 2017.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jails {
    /// The mount point of FreeBSD's datasets.
    pub base_jail_dir: Option<PathBuf>,
    /// How long a version keeps meaning the revision that it was resolved to.
    pub cache_default_expiration: Span,
    /// How long an entry that nobody uses stays in the caches.
    pub cache_purge_after: Span,
    /// Jails that a jail may make; only 0 is accepted.
    pub children_max: u32,
    /// Host or host:port of a StatsD server.
    pub monitoring_addr: Option<String>,
    /// The deadline of a build.
    pub build_timeout: Span,
    /// The deadline of a run.
    pub exec_timeout: Span,
    /// Whether to refuse a FreeBSD host whose kernel does not count resources, instead of leaving them without limits.
    pub require_limits: bool,
    /// The address space that a Go program which does nothing takes on FreeBSD, on top of which memory is limited; by
    /// default it is measured.
    pub address_space: Option<Bytes>,
}

impl Default for Jails {
    fn default() -> Self {
        Self {
            base_jail_dir: None,
            cache_default_expiration: Span::hours(8),
            cache_purge_after: Span::hours(7 * 24),
            children_max: 0,
            monitoring_addr: None,
            build_timeout: Span::seconds(60),
            exec_timeout: Span::seconds(5),
            require_limits: false,
            address_space: None,
        }
    }
}

/// Where source comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sources {
    /// The sources to try, in this order.
    pub order: Vec<Source>,
    /// Path prefixes that are fetched from elsewhere.
    pub mirrors: Vec<Mirror>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { order: vec![Source::Git, Source::Proxy], mirrors: Vec::new() }
    }
}

/// The Go toolchain.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Go {
    /// Whether the whole standard library is compiled at the first start, in the background.
    pub warm: bool,
    /// The go command; by default the one in PATH or /usr/local/go.
    pub command: Option<PathBuf>,
    /// GOPROXY; by default the environment's, or the toolchain's own.
    pub proxy: Option<String>,
    /// GOSUMDB, likewise.
    pub sumdb: Option<String>,
    /// GOPRIVATE, likewise.
    pub private: Option<String>,
}

impl Default for Go {
    fn default() -> Self {
        Self { warm: true, command: None, proxy: None, sumdb: None, private: None }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is not JSON, or a key is unknown or of another type.
    #[error("{0}: {1}")]
    Parse(PathBuf, serde_json::Error),
    /// Values that make no sense.
    #[error("the configuration has problems:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
}

impl Config {
    /// Reads and validates a file; without one, the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.into(), e))?;
        let config: Self =
            serde_json::from_str(&text).map_err(|e| ConfigError::Parse(path.into(), e))?;
        config.validate()?;
        Ok(config)
    }

    /// Finds every problem.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        check(self.http_port != Some(0), "http_port: 0 is no port");
        check(
            self.jails.children_max == 0,
            "jails.children_max: an island makes no islands; use 0",
        );
        check(
            self.standby.per_function > 0,
            "standby.per_function: must be at least 1; standby.total of 0 has none stand by",
        );
        check(!self.sources.order.is_empty(), "sources.order: name git, proxy or both");
        let limits = &self.limits;
        for (name, value) in [
            ("calls", limits.calls),
            ("concurrency", limits.concurrency),
            ("builds", limits.builds),
            ("fetches", limits.fetches),
            ("processes", limits.processes as usize),
        ] {
            check(value > 0, &format!("limits.{name}: must be at least 1"));
        }
        let least = Bytes::mib(16);
        for (name, value) in [
            ("memory", limits.memory),
            ("build_memory", limits.build_memory),
            ("fetch_memory", limits.fetch_memory),
        ] {
            check(value >= least, &format!("limits.{name}: a Go program needs at least 16MiB"));
        }
        let absolute = self.state_dir.as_ref().is_none_or(|path| path.is_absolute());
        check(absolute, "state_dir: must be an absolute path");
        for mirror in &self.sources.mirrors {
            if let Err(problem) = mirror_problem(mirror) {
                problems.push(format!("sources.mirrors: {problem}"));
            }
        }
        problems.extend(self.listen_problems());
        problems.extend(self.network.problems());
        problems.extend(self.host_problems());
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// Where state lies: as configured, or after the platform's convention.
    pub fn state_dir(&self) -> PathBuf {
        let environment = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        state_dir(
            self.state_dir.clone(),
            nix::unistd::getuid().is_root(),
            environment("XDG_STATE_HOME"),
            environment("HOME"),
        )
    }

    /// The limits of a function's island.
    pub fn function_limits(&self) -> crate::island::Limits {
        crate::island::Limits {
            deadline: self.jails.exec_timeout.get(),
            memory: self.limits.memory.get(),
            processes: self.limits.processes,
            output: self.limits.output.get(),
            tmp: self.limits.tmp.get(),
            disk: None,
        }
    }

    /// The deadline of a build.
    pub fn build_deadline(&self) -> Duration {
        self.jails.build_timeout.get()
    }
}

fn state_dir(
    configured: Option<PathBuf>,
    root: bool,
    state_home: Option<PathBuf>,
    home: Option<PathBuf>,
) -> PathBuf {
    let system = if cfg!(target_os = "freebsd") { "/var/db" } else { "/var/lib" };
    configured.unwrap_or_else(|| {
        let base = match (root, state_home, home) {
            (true, ..) => PathBuf::from(system),
            (false, Some(state), _) => state,
            (false, None, Some(home)) => home.join(".local/state"),
            (false, None, None) => std::env::temp_dir(),
        };
        base.join("sky-island")
    })
}

fn mirror_problem(mirror: &Mirror) -> Result<(), String> {
    let Mirror { prefix, target } = mirror;
    if prefix.is_empty() || prefix.starts_with('/') || prefix.ends_with('/') {
        return Err(format!("{prefix:?} is no module path prefix such as github.com/acme"));
    }
    let loopback = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let local = loopback.iter().any(|start| {
        target
            .strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    if target.starts_with("https://") || target.starts_with('/') || local {
        return Ok(());
    }
    Err(format!("{target:?} is neither https://host/path nor an absolute folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(text).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_2017_servers_example_is_accepted_as_it_stands() {
        let example = r#"{
            "release": "11.1-RELEASE", "http_port": 3280, "admin_api_token": "asdfasdfasdfasdf",
            "admin_token_header": "X-Sky-Island-Token", "go_version": "1.9.2", "base_sys_pkg_dir": "/tmp/11.1-RELEASE",
            "filesystem": {"zfs_dataset": "zroot", "compression": false},
            "network": {"ip4": {"interface": "em0", "start_addr": "192.168.0.20", "mask": "255.255.255.0",
                "range": 220, "gateway": "192.168.0.1", "dns": ["4.2.2.1", "4.2.2.2"]}},
            "jails": {"base_jail_dir": "/zroot/jails", "cache_default_expiration": "8h", "cache_purge_after": "24h",
                "children_max": 0, "monitoring_addr": "127.0.0.1", "build_timeout": "10s", "exec_timeout": "5s"}}"#;
        let config = parse(example).unwrap();
        assert_eq!(config.places()[0].to_string(), "0.0.0.0:3280");
        assert_eq!(config.build_deadline(), Duration::from_secs(10));
    }

    #[test]
    fn the_example_file_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.json");
        Config::load(Some(&path)).unwrap();
    }

    #[test]
    fn an_unknown_key_is_named() {
        assert!(parse(r#"{"limits": {"memroy": "1GiB"}}"#).unwrap_err().contains("memroy"));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let text = r#"{"jails": {"children_max": 3}, "limits": {"builds": 0}, "state_dir": "here",
            "sources": {"order": [], "mirrors": [{"prefix": "a.b", "target": "http://elsewhere/x"}]}}"#;
        let problems = parse(text).unwrap_err();
        for part in ["children_max", "builds", "state_dir", "sources.order", "elsewhere"] {
            assert!(problems.contains(part), "{part} is not in {problems}");
        }
    }

    #[test]
    fn state_lies_where_the_platform_keeps_it() {
        let path = |text: &str| Some(PathBuf::from(text));
        let system = if cfg!(target_os = "freebsd") { "/var/db" } else { "/var/lib" };
        let table = [
            (state_dir(path("/x"), true, None, None), "/x".to_owned()),
            (state_dir(None, true, path("/s"), path("/h")), format!("{system}/sky-island")),
            (state_dir(None, false, path("/s"), path("/h")), "/s/sky-island".to_owned()),
            (state_dir(None, false, None, path("/h")), "/h/.local/state/sky-island".to_owned()),
        ];
        for (found, expected) in table {
            assert_eq!(found, Path::new(&expected));
        }
    }
}
