//! Islands and caches, by their names of 2017.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Bytes, Span};

/// Islands and caches, by their names of 2017.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jails {
    /// The mount point of FreeBSD's datasets.
    #[schemars(example = &"/zroot/jails", extend("x-default" = "`/<filesystem.zfs_dataset>/jails`"))]
    pub base_jail_dir: Option<PathBuf>,
    /// How long a version keeps meaning the revision that it was resolved to.
    #[schemars(extend("x-live" = true))]
    pub cache_default_expiration: Span,
    /// How long an entry that nobody uses stays in the caches.
    #[schemars(extend("x-live" = true))]
    pub cache_purge_after: Span,
    /// Jails that a jail may make; only 0 is accepted.
    pub children_max: u32,
    /// Host or host:port of a StatsD server.
    #[schemars(example = &"127.0.0.1:8125", extend("x-default" = "none", "x-flag" = "monitoring-addr"))]
    pub monitoring_addr: Option<String>,
    /// The deadline of a build.
    #[schemars(extend("x-live" = true, "x-flag" = "build-timeout"))]
    pub build_timeout: Span,
    /// The deadline of a run.
    #[schemars(extend("x-live" = true, "x-flag" = "exec-timeout"))]
    pub exec_timeout: Span,
    /// Whether to refuse a FreeBSD host whose kernel does not count resources, instead of leaving them without limits.
    pub require_limits: bool,
    /// The address space that a Go program which does nothing takes on FreeBSD, on top of which memory is limited.
    #[schemars(example = &"1228MiB", extend("x-default" = "measured"))]
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
