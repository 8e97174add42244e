//! The keys that a running server changes at SIGHUP, each with the parts of the server that apply
//! it.
//!
//! Invariants: a key is live if and only if it is in [`LIVE`]; each key there has at least one
//! applier.

/// A part of a running server that applies a new value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Applier {
    /// The limits and the queue of calls.
    CallService,
    /// The pool of warm islands.
    WarmPool,
    /// Fetches and the cache of checkouts.
    Sources,
    /// Builds and the cache of artifacts.
    Builder,
    /// The token of the admin API and its header.
    AdminAuth,
    /// The end of the server.
    Shutdown,
}

use Applier::{AdminAuth, Builder, CallService, Shutdown, Sources, WarmPool};

/// All live keys by their paths.
pub const LIVE: [(&str, &[Applier]); 32] = [
    ("admin_api_token", &[AdminAuth]),
    ("admin_token_header", &[AdminAuth]),
    ("go.private", &[Sources]),
    ("go.proxy", &[Sources]),
    ("go.sumdb", &[Sources]),
    ("jails.build_timeout", &[Builder, CallService]),
    ("jails.cache_default_expiration", &[Sources]),
    ("jails.cache_purge_after", &[Sources, Builder]),
    ("jails.exec_timeout", &[CallService]),
    ("limits.artifact_cache", &[Builder]),
    ("limits.build_memory", &[Builder]),
    ("limits.build_size", &[Builder]),
    ("limits.call_timeout", &[CallService]),
    ("limits.checkout_cache", &[Sources]),
    ("limits.fetch_memory", &[Sources]),
    ("limits.fetch_size", &[Sources]),
    ("limits.fetch_timeout", &[Sources, CallService]),
    ("limits.memory", &[CallService]),
    ("limits.output", &[CallService]),
    ("limits.processes", &[CallService]),
    ("limits.queue_wait", &[CallService, Sources, Builder]),
    ("limits.tmp", &[CallService]),
    ("shutdown_grace", &[Shutdown]),
    ("sources.allow", &[Sources]),
    ("sources.deny", &[Sources]),
    ("sources.mirrors", &[Sources]),
    ("sources.order", &[Sources]),
    ("sources.private_hosts", &[Sources]),
    ("standby.idle", &[WarmPool]),
    ("standby.memory", &[WarmPool]),
    ("standby.per_function", &[WarmPool]),
    ("standby.total", &[WarmPool]),
];

/// The parts that apply a key; none where the key needs a restart.
pub(super) fn appliers(path: &str) -> &'static [Applier] {
    LIVE.iter().find(|(key, _)| *key == path).map_or(&[], |(_, appliers)| appliers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn each_live_key_is_a_key_of_the_configuration_with_an_applier() {
        for (path, appliers) in LIVE {
            let leaf = keys::leaf(path).unwrap_or_else(|| panic!("{path} is no key"));
            assert!(leaf.key.live && !appliers.is_empty(), "{path}");
        }
        let live = keys::leaves().iter().filter(|leaf| leaf.key.live).count();
        assert_eq!(live, LIVE.len());
    }
}
