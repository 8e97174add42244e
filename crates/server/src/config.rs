//! The configuration: its keys, their defaults, and what must hold for it to be used.
//!
//! The keys of the 2017 server keep their names and places. Everything has a default. The types and their doc comments
//! are the only definition of the keys; [`keys`] reads it, and what is said about a key anywhere comes from there.
//! [`Inputs`] puts a configuration together from flags, the environment and the file, and reports all problems at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod check;
mod environment;
mod file;
mod host;
mod inputs;
mod islands;
mod jails;
pub mod keys;
mod limits;
mod listen;
mod log;
mod network;
mod problem;
pub mod reference;
mod settings;
mod standby;
mod units;
mod validate;

pub use environment::{SERVER, variable};
pub use file::Position;
pub use inputs::Inputs;
pub use jails::Jails;
pub use limits::Limits;
pub use listen::{Endpoints, Tls};
pub use log::{Level, Log};
pub use network::Network;
pub use problem::{ConfigError, Problem, SetBy};
pub use settings::{Change, Entry, Settings};
pub use standby::Standby;
pub use units::{Bytes, Span};

use crate::init::Sha256;
use crate::init::{GoVersion, SetName};
use crate::listen::Origin;
use crate::source::{Mirror, Origin as Source};

/// The port that clients of 2017 know.
pub const PORT: u16 = 3281;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The FreeBSD release of the base system.
    #[schemars(example = &"15.1-RELEASE", extend("x-default" = "the running kernel's"))]
    pub release: Option<String>,
    /// Listens on all addresses at this port, as in 2017. `listen` wins over it, unless a stronger source sets the port.
    #[schemars(example = 3280, extend("x-default" = "none", "x-flag" = "http-port"))]
    pub http_port: Option<u16>,
    /// Where to listen: an address and port, `unix:` and a path, or a list of such.
    #[schemars(with = "OneOrSeveral", example = &"127.0.0.1:3281", extend("x-default" = "127.0.0.1:3281", "x-flag" = "listen"))]
    pub listen: Option<Endpoints>,
    /// The certificate that is shown there. Its files are read again at SIGHUP.
    pub tls: Option<Tls>,
    /// The origins whose pages may call from a browser.
    #[schemars(with = "Vec<String>", example = ["https://example.org"])]
    pub cors_origins: Vec<Origin>,
    /// Connections at once. Further ones wait in the system's own queue.
    #[schemars(example = 4096, extend("x-default" = "4096"))]
    pub connections: Option<usize>,
    /// How long a connection may take to send the head of its next request.
    #[schemars(example = &"1m", extend("x-default" = "1m"))]
    pub head_wait: Option<Span>,
    /// How long calls may go on after the signal to stop. A service manager has to wait longer than this: the systemd unit
    /// waits for two minutes.
    #[schemars(example = &"30s", extend("x-default" = "30s", "x-flag" = "shutdown-grace", "x-live" = true))]
    pub shutdown_grace: Option<Span>,
    /// The token of the admin API. Without one the first start writes one into `admin-token` in the state directory.
    #[schemars(extend("x-default" = "the one in the state directory", "x-secret" = true, "x-live" = true))]
    pub admin_api_token: Option<String>,
    /// The header that carries the token.
    #[schemars(extend("x-default" = "X-Sky-Island-Token", "x-live" = true))]
    pub admin_token_header: Option<String>,
    /// The Go release that `init` installs.
    #[schemars(with = "Option<String>", example = &"1.26.7", extend("x-default" = "a pinned release"))]
    pub go_version: Option<GoVersion>,
    /// Where `init` downloads Go from.
    #[schemars(with = "Option<String>", example = &"https://mirror.example.com/go", extend("x-default" = "https://go.dev/dl"))]
    pub go_mirror: Option<crate::init::Mirror>,
    /// An archive of Go on this host, which `init` uses instead.
    #[schemars(example = &"/root/go1.26.7.freebsd-amd64.tar.gz", extend("x-default" = "none"))]
    pub go_tarball: Option<PathBuf>,
    /// The SHA-256 sum of Go's archive.
    #[schemars(with = "Option<String>", extend("x-default" = "the one beside `go_tarball`, or the published one"))]
    pub go_sha256: Option<Sha256>,
    /// Where `init` looks for the base system's archives.
    #[schemars(example = &"/root/15.1-RELEASE", extend("x-default" = "none"))]
    pub base_sys_pkg_dir: Option<PathBuf>,
    /// The distribution sets of the base system.
    #[schemars(with = "Option<Vec<String>>", example = ["base", "lib32"], extend("x-default" = "`base`"))]
    pub base_packages: Option<Vec<SetName>>,
    /// Where `init` downloads FreeBSD from.
    #[schemars(with = "Option<String>", example = &"https://mirror.example.com/freebsd", extend("x-default" = "the FreeBSD project's site"))]
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
    #[schemars(example = &"/var/lib/sky-island", extend("x-default" = "root's `/var/db/sky-island` on FreeBSD and `/var/lib/sky-island` on Linux; another user's `~/.local/state/sky-island`", "x-flag" = "state-dir"))]
    pub state_dir: Option<PathBuf>,
    /// What calls may use.
    pub limits: Limits,
    /// Islands that stand by.
    pub standby: Standby,
    /// Where source comes from.
    pub sources: Sources,
    /// The Go toolchain.
    pub go: GoConfig,
    /// The log.
    pub log: Log,
}

/// FreeBSD's datasets.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filesystem {
    /// The dataset below which all of ours lie.
    #[schemars(example = &"tank/islands", extend("x-default" = "zroot"))]
    pub zfs_dataset: Option<String>,
    /// Whether they are compressed.
    #[schemars(example = true, extend("x-default" = "as the dataset that ours lie in"))]
    pub compression: Option<bool>,
}

/// Where source comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sources {
    /// The sources to try, in this order.
    #[schemars(extend("x-live" = true))]
    pub order: Vec<Source>,
    /// Path prefixes that are fetched from elsewhere.
    #[schemars(example = mirror_example(), extend("x-live" = true))]
    pub mirrors: Vec<Mirror>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { order: vec![Source::Git, Source::Proxy], mirrors: Vec::new() }
    }
}

/// The Go toolchain.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GoConfig {
    /// Whether the whole standard library is compiled at the first start, in the background.
    pub warm: bool,
    /// The go command.
    #[schemars(example = &"/usr/local/go/bin/go", extend("x-default" = "FreeBSD's build jail's, else the one in PATH or /usr/local/go", "x-flag" = "go"))]
    pub command: Option<PathBuf>,
    /// GOPROXY of the go command.
    #[schemars(example = &"https://proxy.golang.org,direct", extend("x-default" = "the environment's GOPROXY, or the toolchain's own", "x-live" = true))]
    pub proxy: Option<String>,
    /// GOSUMDB of the go command.
    #[schemars(example = &"sum.golang.org", extend("x-default" = "the environment's GOSUMDB, or the toolchain's own", "x-live" = true))]
    pub sumdb: Option<String>,
    /// GOPRIVATE of the go command.
    #[schemars(example = &"git.example.com/*", extend("x-default" = "the environment's GOPRIVATE, or the toolchain's own", "x-live" = true))]
    pub private: Option<String>,
}

impl Default for GoConfig {
    fn default() -> Self {
        Self { warm: true, command: None, proxy: None, sumdb: None, private: None }
    }
}

/// The form of a key that takes one text or a list of them.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

fn mirror_example() -> serde_json::Value {
    serde_json::json!([{"prefix": "code.example.com", "target": "https://mirror.example.com/code"}])
}

impl Config {
    /// Reads and validates a file alone; without one, the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let inputs = Inputs { file: path.map(Into::into), ..Inputs::default() };
        Ok(inputs.read()?.config().clone())
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
    pub fn function_limits(&self) -> island::Limits {
        island::Limits {
            deadline: self.jails.exec_timeout.get(),
            memory: self.limits.memory.get(),
            processes: self.limits.processes,
            output: self.limits.output.get(),
            tmp: self.limits.tmp.get(),
            disk: None,
        }
    }

    /// The overall time limit of a call.
    pub fn call_timeout(&self) -> Duration {
        let stages = || {
            let (fetch, build) = (self.limits.fetch_timeout.get(), self.jails.build_timeout.get());
            let (run, wait) = (self.jails.exec_timeout.get(), self.limits.queue_wait.get());
            // A call that is compiled as it stands after all is built and run twice. Each of the five steps can wait.
            let twice = build.saturating_add(run).saturating_mul(2);
            fetch.saturating_add(twice).saturating_add(wait.saturating_mul(5))
        };
        self.limits.call_timeout.map_or_else(stages, |limit| limit.get())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_json_is_read_as_the_same() {
        let written = serde_json::to_value(Config::default()).unwrap();
        let read: Config = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), written);
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
