//! The section `limits`: limits of calls, fetches and builds, and of the caches.

use common::fair::Shares;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Bytes, Span};

/// Limits of calls, fetches and builds, and of the caches.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long a call waits for a slot to fetch, build or run. Where none becomes free in that
    /// time, the call fails as `busy`.
    pub queue_wait: Span,
    /// The overall time limit of a call: waiting, fetch, build and run together. A call that takes
    /// longer fails as `deadline`.
    #[schemars(extend("x-default" = "as long as its stages may take together"))]
    pub call_timeout: Option<Span>,
    /// The most calls in the server at once, waiting ones included. Further calls fail as `busy` at
    /// once.
    pub calls: usize,
    /// The most functions that run at once. Further calls wait up to `limits.queue_wait`.
    #[schemars(extend("x-default" = "4 per core", "x-flag" = "concurrency"))]
    pub concurrency: usize,
    /// The most builds that run at once. Further ones wait up to `limits.queue_wait`.
    #[schemars(extend("x-default" = "1 per core"))]
    pub builds: usize,
    /// The most fetches that run at once. Further ones wait up to `limits.queue_wait`.
    pub fetches: usize,
    /// How much of these one client may have at once: an address, an IPv6 network of 64 bits, or a
    /// user of this host. A client beyond that fails as `over_share`, and others are served.
    pub per_client: PerClient,
    /// How long a fetch may take. A longer one is killed, and the call fails as `deadline`.
    pub fetch_timeout: Span,
    /// The most bytes that a fetch may receive and unpack. Where a module needs more, the call
    /// fails as `source_size`.
    pub fetch_size: Bytes,
    /// The most memory that a fetch may use, at least 16MiB. A fetch that needs more is killed, and
    /// the call fails.
    pub fetch_memory: Bytes,
    /// The most memory that a build may use, at least 16MiB. A build that needs more is killed, and
    /// the call fails as `out_of_memory`.
    pub build_memory: Bytes,
    /// The most disk space that a build may use. A build that needs more is killed, and the call
    /// fails as `build`.
    pub build_size: Bytes,
    /// The most memory that a function may use, at least 16MiB. A function that needs more is
    /// killed, and the call fails as `out_of_memory`.
    #[schemars(extend("x-flag" = "memory"))]
    pub memory: Bytes,
    /// The most processes and threads that a function may have. Where it needs more, the system
    /// refuses to start them.
    pub processes: u64,
    /// The most bytes that a function may write to its output, and as many to its error output. A
    /// function that writes more is killed, and the call fails as `output`.
    pub output: Bytes,
    /// The size of a function's `/tmp`. Where that is full, writing to it fails.
    pub tmp: Bytes,
    /// The most disk space of the cache of checkouts. Beyond that the least recently used ones are
    /// deleted.
    pub checkout_cache: Bytes,
    /// The most disk space of the cache of artifacts. Beyond that the least recently used ones are
    /// deleted.
    pub artifact_cache: Bytes,
    /// How many islands are made ahead of calls, so that a call need not wait for one; 0 for none.
    /// No effect on FreeBSD.
    #[schemars(extend("x-default" = "2 per core"))]
    pub islands_ahead: usize,
}

/// What one client may have at once. A reverse proxy is one client.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PerClient {
    /// The most calls of one client in the server, waiting ones included. Further calls fail as
    /// `over_share` at once.
    #[schemars(extend("x-default" = "three quarters of `limits.calls`"))]
    pub calls: Option<usize>,
    /// The most functions of one client that run at once. Further calls wait up to
    /// `limits.queue_wait`, in turns with other clients.
    #[schemars(extend("x-default" = "three quarters of `limits.concurrency`"))]
    pub concurrency: Option<usize>,
    /// The most connections of one client that are open at once. Further ones are closed.
    #[schemars(extend("x-default" = "half of `connections`"))]
    pub connections: Option<usize>,
    /// The most builds of one client that run at once. Further ones wait up to
    /// `limits.queue_wait`, in turns with other clients.
    #[schemars(extend("x-default" = "three quarters of `limits.builds`"))]
    pub builds: Option<usize>,
    /// The most fetches of one client that run at once. Further ones wait up to
    /// `limits.queue_wait`, in turns with other clients.
    #[schemars(extend("x-default" = "three quarters of `limits.fetches`"))]
    pub fetches: Option<usize>,
}

impl Limits {
    /// The calls in the server.
    pub fn call_shares(&self) -> Shares {
        shares(self.calls, self.per_client.calls)
    }

    /// The functions that run.
    pub fn run_shares(&self) -> Shares {
        shares(self.concurrency, self.per_client.concurrency)
    }

    /// The builds that run.
    pub fn build_shares(&self) -> Shares {
        shares(self.builds, self.per_client.builds)
    }

    /// The fetches that run.
    pub fn fetch_shares(&self) -> Shares {
        shares(self.fetches, self.per_client.fetches)
    }
}

fn shares(slots: usize, per_client: Option<usize>) -> Shares {
    let per_client = per_client.unwrap_or_else(|| Shares::default_share(slots));
    Shares { slots, per_client: per_client.min(slots) }
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self {
            queue_wait: Span::seconds(10),
            call_timeout: None,
            calls: 1024,
            concurrency: 4 * cores,
            builds: cores,
            fetches: 8,
            per_client: PerClient::default(),
            fetch_timeout: Span::seconds(60),
            fetch_size: Bytes::mib(512),
            fetch_memory: Bytes::mib(1024),
            build_memory: Bytes::mib(1024),
            build_size: Bytes::mib(2048),
            memory: Bytes::mib(256),
            processes: 64,
            output: Bytes::mib(1),
            tmp: Bytes::mib(64),
            checkout_cache: Bytes::mib(8 * 1024),
            artifact_cache: Bytes::mib(2 * 1024),
            islands_ahead: 2 * cores,
        }
    }
}
