//! What calls may use, and the caches behind them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Bytes, Span};

/// What calls may use. Each is a bound on one thing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long a call waits for its turn.
    #[schemars(extend("x-live" = true))]
    pub queue_wait: Span,
    /// The overall time limit of a call: waiting, fetch, build and run together. A call that exceeds it is answered with 504.
    #[schemars(extend("x-live" = true, "x-default" = "as long as its stages may take together"))]
    pub call_timeout: Option<Span>,
    /// Calls that are in the server at once, waiting or not.
    pub calls: usize,
    /// Functions that run at once.
    #[schemars(extend("x-default" = "four a core", "x-flag" = "concurrency"))]
    pub concurrency: usize,
    /// Builds that run at once.
    #[schemars(extend("x-default" = "one a core"))]
    pub builds: usize,
    /// Fetches that run at once.
    pub fetches: usize,
    /// The deadline of a fetch.
    #[schemars(extend("x-live" = true))]
    pub fetch_timeout: Span,
    /// Bytes that a fetch may receive and unpack.
    #[schemars(extend("x-live" = true))]
    pub fetch_size: Bytes,
    /// Memory of a fetch.
    #[schemars(extend("x-live" = true))]
    pub fetch_memory: Bytes,
    /// Memory of a build.
    #[schemars(extend("x-live" = true))]
    pub build_memory: Bytes,
    /// Disk space of a build.
    #[schemars(extend("x-live" = true))]
    pub build_size: Bytes,
    /// Memory of a function.
    #[schemars(extend("x-live" = true, "x-flag" = "memory"))]
    pub memory: Bytes,
    /// Processes and threads of a function.
    #[schemars(extend("x-live" = true))]
    pub processes: u64,
    /// Output of a function.
    #[schemars(extend("x-live" = true))]
    pub output: Bytes,
    /// A function's /tmp.
    #[schemars(extend("x-live" = true))]
    pub tmp: Bytes,
    /// Checkouts on disk.
    #[schemars(extend("x-live" = true))]
    pub checkout_cache: Bytes,
    /// Artifacts on disk.
    #[schemars(extend("x-live" = true))]
    pub artifact_cache: Bytes,
    /// Islands made ahead of calls.
    #[schemars(extend("x-default" = "two a core"))]
    pub islands_ahead: usize,
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
