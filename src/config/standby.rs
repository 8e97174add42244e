//! How many islands stand by.

use serde::Deserialize;

use super::{Bytes, Span};
use crate::island::StandbyLimits;

/// Islands that stand by for functions that were called before.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Standby {
    /// Of one function; by default eight a core.
    pub per_function: usize,
    /// Of all functions, by default thirty-two a core; 0 for none at all.
    pub total: usize,
    /// Memory that all together may hold.
    pub memory: Bytes,
    /// How long one stands by for a function that nobody calls.
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
    pub fn limits(&self) -> StandbyLimits {
        StandbyLimits {
            per_function: self.per_function,
            total: self.total,
            memory: self.memory.get(),
            idle: self.idle.get(),
        }
    }
}
