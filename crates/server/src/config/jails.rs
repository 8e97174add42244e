//! The section `jails`: islands and caches, by their names of 2017.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Bytes, Span};

/// Islands and caches, by their names of 2017.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jails {
    /// The folder that the datasets are mounted at.
    #[schemars(example = &"/zroot/jails", extend("x-default" = "`/<filesystem.zfs_dataset>/jails`"))]
    pub base_jail_dir: Option<PathBuf>,
    /// How long a version, such as a branch or `latest`, keeps the revision that it was resolved
    /// to. After that the next call resolves it again.
    pub cache_default_expiration: Span,
    /// How long an unused checkout or artifact stays in its cache. After that it is deleted.
    pub cache_purge_after: Span,
    /// The number of jails that a jail may make; only 0 is accepted, for islands make no islands.
    pub children_max: u32,
    /// The StatsD server to send metrics to, as a host or host:port.
    #[schemars(example = &"127.0.0.1:8125", extend("x-default" = "none", "x-flag" = "monitoring-addr"))]
    pub monitoring_addr: Option<String>,
    /// How long a build may take. A longer one is killed, and the call fails as `deadline`.
    #[schemars(extend("x-flag" = "build-timeout"))]
    pub build_timeout: Span,
    /// How long a function may run. A longer one is killed, and the call fails as `deadline`.
    #[schemars(extend("x-flag" = "exec-timeout"))]
    pub exec_timeout: Span,
    /// Whether the server refuses to start on a FreeBSD host whose kernel cannot limit resources
    /// (`kern.racct.enable`). Otherwise islands run there without limits.
    pub require_limits: bool,
    /// The address space of a Go program that does nothing, on FreeBSD. Memory is limited on top of
    /// it.
    #[schemars(example = &"1228MiB", extend("x-default" = "measured"))]
    pub address_space: Option<Bytes>,
    /// Whether, on FreeBSD, each function without an address has a network stack of its own with
    /// nothing in it. The function then does not see the host's interfaces and routes, but can make
    /// sockets, which reach nothing, and each call takes longer.
    pub vnet: bool,
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
            vnet: false,
        }
    }
}
