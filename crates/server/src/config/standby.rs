//! How many islands stand by.

use island::PoolLimits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Bytes, Span};

/// Islands that stand by for functions that were called before.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Standby {
    /// Islands that stand by for one function.
    #[schemars(extend("x-default" = "eight a core", "x-live" = true))]
    pub per_function: usize,
    /// Islands that stand by for all functions; 0 for none at all.
    #[schemars(extend("x-default" = "thirty-two a core", "x-live" = true))]
    pub total: usize,
    /// Memory that all together may hold.
    #[schemars(extend("x-live" = true))]
    pub memory: Bytes,
    /// How long one stands by for a function that nobody calls.
    #[schemars(extend("x-live" = true))]
    pub idle: Span,
}

impl Default for Standby {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self {
            per_function: 8 * cores,
            total: 32 * cores,
            memory: Bytes::mib(512),
            idle: Span::seconds(60),
        }
    }
}

impl Standby {
    /// The same, as islands want it.
    pub fn limits(&self) -> PoolLimits {
        PoolLimits {
            per_function: self.per_function,
            total: self.total,
            memory: self.memory.get(),
            idle: self.idle.get(),
        }
    }
}
