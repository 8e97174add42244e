//! All keys of the configuration, and what follows from several of them.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::jails::Jails;
use crate::config::limits::Limits;
use crate::config::listen::{Endpoints, Tls};
use crate::config::log::Log;
use crate::config::network::Network;
use crate::config::reuse::Island;
use crate::config::standby::Standby;
use crate::config::units::Span;
use crate::init::{GoVersion, SetName, Sha256};
use crate::listen::{Origin, ServedHost};
use crate::source::{HostPattern, Mirror, Origin as Source};

/// The port of the 2017 server.
pub const PORT: u16 = 3281;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The FreeBSD release of the base system that `init` installs. It must not be newer than the
    /// kernel.
    #[schemars(example = &"15.1-RELEASE", extend("x-default" = "the release of the running kernel"))]
    pub release: Option<String>,
    /// Listens on this port of all addresses, IPv4 and IPv6, as the server of 2017 did. `listen`
    /// takes precedence, unless a stronger source sets the port.
    #[schemars(example = 3280, extend("x-default" = "none", "x-flag" = "http-port"))]
    pub http_port: Option<u16>,
    /// The endpoints to listen on: an address and port, `unix:` and a path, or a list of such.
    /// `http://` or `https://` before an address fixes the protocol there.
    #[schemars(with = "TextOrList", example = &"127.0.0.1:3281", extend("x-default" = "127.0.0.1:3281", "x-flag" = "listen"))]
    pub listen: Option<Endpoints>,
    /// The certificate of the server.
    pub tls: Option<Tls>,
    /// The names by which clients address the server, beside its addresses and `localhost`; `*`
    /// stands for every name. A request to another name is refused, so that no web page can call
    /// the server by a name of its own.
    #[schemars(with = "Option<Vec<String>>", example = ["islands.example.org"], extend("x-default" = "the name of this host"))]
    pub hosts: Option<Vec<ServedHost>>,
    /// The origins whose pages may call the server from a browser; `*` stands for every origin.
    #[schemars(with = "Vec<String>", example = ["https://example.org"])]
    pub cors_origins: Vec<Origin>,
    /// The most connections that are open at once. Further ones wait in the queue of the system
    /// until one closes.
    #[schemars(example = 4096, extend("x-default" = "4096"))]
    pub connections: Option<usize>,
    /// How long a client may take to send the head of its next request, idle time included. The
    /// server closes the connection then.
    #[schemars(example = &"1m", extend("x-default" = "1m"))]
    pub head_wait: Option<Span>,
    /// How long a client may read nothing of an answer that is being sent. The server closes the
    /// connection then.
    #[schemars(example = &"30s", extend("x-default" = "30s"))]
    pub answer_wait: Option<Span>,
    /// How long calls under way may go on after the signal to stop. Calls that take longer are
    /// killed. The service manager has to wait longer than this; the systemd unit waits for two
    /// minutes.
    #[schemars(example = &"30s", extend("x-default" = "30s", "x-flag" = "shutdown-grace"))]
    pub shutdown_grace: Option<Span>,
    /// The token that opens the admin API. Where it is not set, the first start writes a token to
    /// `admin-token` in the state directory.
    #[schemars(extend("x-default" = "the token in the state directory", "x-secret" = true))]
    pub admin_api_token: Option<String>,
    /// The request header that carries the token of the admin API.
    #[schemars(extend("x-default" = "X-Sky-Island-Token"))]
    pub admin_token_header: Option<String>,
    /// The Go release that `init` installs.
    #[schemars(with = "Option<String>", example = &"1.26.7", extend("x-default" = "a pinned release"))]
    pub go_version: Option<GoVersion>,
    /// The site that `init` downloads Go from.
    #[schemars(with = "Option<String>", example = &"https://mirror.example.com/go", extend("x-default" = "https://go.dev/dl"))]
    pub go_mirror: Option<crate::init::Mirror>,
    /// A Go archive on this host that `init` uses instead of a download.
    #[schemars(example = &"/root/go1.26.7.freebsd-amd64.tar.gz", extend("x-default" = "none"))]
    pub go_tarball: Option<PathBuf>,
    /// The SHA-256 sum that the Go archive must have. `init` uses no archive with another sum.
    #[schemars(with = "Option<String>", extend("x-default" = "the sum in the file beside `go_tarball`, or the published sum"))]
    pub go_sha256: Option<Sha256>,
    /// A folder on this host with the archives of the base system, which `init` uses instead of
    /// downloads.
    #[schemars(example = &"/root/15.1-RELEASE", extend("x-default" = "none"))]
    pub base_sys_pkg_dir: Option<PathBuf>,
    /// The distribution sets that the base system is made of; `base` must be among them.
    #[schemars(with = "Option<Vec<String>>", example = ["base", "lib32"], extend("x-default" = "`base`"))]
    pub base_packages: Option<Vec<SetName>>,
    /// The site that `init` downloads FreeBSD from.
    #[schemars(with = "Option<String>", example = &"https://mirror.example.com/freebsd", extend("x-default" = "the FreeBSD project's site"))]
    pub release_mirror: Option<crate::init::Mirror>,
    /// Whether `init` installs the updates of the release into the base system (freebsd-update(8)).
    pub freebsd_update: bool,
    /// The ZFS datasets on FreeBSD.
    pub filesystem: Filesystem,
    /// The addresses that calls can ask for.
    pub network: Network,
    /// Islands and caches, by their names of 2017.
    pub jails: Jails,
    /// The folder for caches, scratch files and the state of the server; an absolute path.
    #[schemars(example = &"/var/lib/sky-island", extend("x-default" = "for root `/var/db/sky-island` on FreeBSD and `/var/lib/sky-island` on Linux; for other users `~/.local/state/sky-island`", "x-flag" = "state-dir"))]
    pub state_dir: Option<PathBuf>,
    /// Limits of calls, fetches and builds, and of the caches.
    pub limits: Limits,
    /// How the islands of functions are made.
    pub island: Island,
    /// The pool of warm islands.
    pub standby: Standby,
    /// Where modules come from.
    pub sources: Sources,
    /// The Go toolchain.
    pub go: GoConfig,
    /// The log.
    pub log: Log,
}

/// The ZFS datasets on FreeBSD.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filesystem {
    /// The dataset below which all datasets of Sky Island lie.
    #[schemars(example = &"tank/islands", extend("x-default" = "zroot"))]
    pub zfs_dataset: Option<String>,
    /// Whether the datasets are compressed.
    #[schemars(example = true, extend("x-default" = "inherited from the parent dataset"))]
    pub compression: Option<bool>,
}

/// Where modules come from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sources {
    /// The kinds of sources to try for a module, in this order.
    pub order: Vec<Source>,
    /// Prefixes of module paths, each with the URL or folder that such modules are fetched from
    /// instead.
    #[schemars(example = mirror_example())]
    pub mirrors: Vec<Mirror>,
    /// The only hosts that fetches connect to, besides those of `sources.mirrors`, `go.proxy` and
    /// `go.sumdb`: names, `*.` and a name for all hosts below it, either with a port other than
    /// 443. Where the list is empty, every public host is allowed. A module proxy may redirect to
    /// other hosts: proxy.golang.org redirects to storage.googleapis.com.
    #[schemars(with = "Vec<String>", example = ["github.com", "*.example.com", "git.example.org:8443"])]
    pub allow: Vec<HostPattern>,
    /// Hosts that no fetch connects to, whatever else names them; with a port, that port alone.
    #[schemars(with = "Vec<String>", example = ["*.internal.example"])]
    pub deny: Vec<HostPattern>,
    /// Hosts that may have addresses of a private network or of this host, and any port unless one
    /// is named. A fetch connects to all others at public addresses and port 443 alone, except for
    /// the hosts of `sources.mirrors`, `go.proxy` and `go.sumdb`.
    #[schemars(with = "Vec<String>", example = ["git.intranet.example"])]
    pub private_hosts: Vec<HostPattern>,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            order: vec![Source::Git, Source::Proxy],
            mirrors: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            private_hosts: Vec::new(),
        }
    }
}

/// The Go toolchain.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GoConfig {
    /// Whether the whole standard library is compiled in the background at the first start, so that
    /// first builds take less time.
    pub warm: bool,
    /// The path of the go command.
    #[schemars(example = &"/usr/local/go/bin/go", extend("x-default" = "on FreeBSD the one of the build jail; otherwise the first in PATH, or the one in /usr/local/go", "x-flag" = "go"))]
    pub command: Option<PathBuf>,
    /// GOPROXY of the go command: the module proxies to ask.
    #[schemars(example = &"https://proxy.golang.org,direct", extend("x-default" = "GOPROXY of the environment, or the default of the toolchain"))]
    pub proxy: Option<String>,
    /// GOSUMDB of the go command: the checksum database, or `off`.
    #[schemars(example = &"sum.golang.org", extend("x-default" = "GOSUMDB of the environment, or the default of the toolchain"))]
    pub sumdb: Option<String>,
    /// GOPRIVATE of the go command: patterns of modules that no proxy and no checksum database is
    /// asked for.
    #[schemars(example = &"git.example.com/*", extend("x-default" = "GOPRIVATE of the environment, or the default of the toolchain"))]
    pub private: Option<String>,
    /// Whether a program whose imports were compiled before is made by the compiler and the linker
    /// alone, as the go command ran them then. Otherwise the go command makes every program, which
    /// takes half as long again.
    pub replay: bool,
}

impl Default for GoConfig {
    fn default() -> Self {
        Self { warm: true, command: None, proxy: None, sumdb: None, private: None, replay: true }
    }
}

/// The schema of a key that takes one text or a list of texts.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum TextOrList {
    Text(String),
    List(Vec<String>),
}

fn mirror_example() -> serde_json::Value {
    serde_json::json!([{"prefix": "code.example.com", "target": "https://mirror.example.com/code"}])
}

impl Config {
    /// The state directory: as configured, or by the platform's convention.
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
        let resources = island::Resources {
            memory: self.limits.memory.get(),
            processes: self.limits.processes,
            processor_time: Some(self.jails.exec_timeout.get()),
            tmp: self.limits.tmp.get(),
            disk: None,
        };
        let bounds = island::Bounds {
            deadline: self.jails.exec_timeout.get(),
            output: self.limits.output.get(),
        };
        island::Limits { resources, bounds }
    }

    /// The overall time limit of a call.
    pub fn call_timeout(&self) -> Duration {
        let stages = || {
            let (fetch, build) = (self.limits.fetch_timeout.get(), self.jails.build_timeout.get());
            let (run, wait) = (self.jails.exec_timeout.get(), self.limits.queue_wait.get());
            // A call that is compiled as it stands after all is built and run twice. Each of the
            // five steps can wait.
            let twice = build.saturating_add(run).saturating_mul(2);
            fetch.saturating_add(twice).saturating_add(wait.saturating_mul(5))
        };
        self.limits.call_timeout.map_or_else(stages, |limit| limit.get())
    }

    /// How long a build may take.
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
    fn a_configuration_is_read_as_it_was_written() {
        let written = serde_json::to_value(Config::default()).unwrap();
        let read: Config = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), written);
    }

    #[test]
    fn the_state_directory_follows_the_platform() {
        let path = |text: &str| Some(PathBuf::from(text));
        let system = if cfg!(target_os = "freebsd") { "/var/db" } else { "/var/lib" };
        let table = [
            (state_dir(path("/x"), true, None, None), "/x".to_owned()),
            (state_dir(None, true, path("/s"), path("/h")), format!("{system}/sky-island")),
            (state_dir(None, false, path("/s"), path("/h")), "/s/sky-island".to_owned()),
            (state_dir(None, false, None, path("/h")), "/h/.local/state/sky-island".to_owned()),
        ];
        for (found, expected) in table {
            assert_eq!(found, PathBuf::from(expected));
        }
    }
}
