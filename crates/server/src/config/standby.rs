//! The section `standby`: the pool of warm islands.

use island::PoolLimits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Bytes, Span};

/// The pool of warm islands: islands on which functions that were called before have been started
/// ahead of their next calls.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Standby {
    /// The most warm islands for one function, at least 1.
    #[schemars(extend("x-default" = "8 per core"))]
    pub per_function: usize,
    /// The most warm islands for all functions; 0 turns the pool off.
    #[schemars(extend("x-default" = "32 per core"))]
    pub total: usize,
    /// The most memory of all warm islands together. Beyond that no more are started.
    pub memory: Bytes,
    /// How long a warm island waits for a call of its function. After that it is ended.
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
    /// The limits as the warm pool takes them.
    pub fn limits(&self) -> PoolLimits {
        PoolLimits {
            per_function: self.per_function,
            total: self.total,
            memory: self.memory.get(),
            idle: self.idle.get(),
        }
    }
}
