//! Zygotes: fork servers for functions' islands. Each keeps what islands can share that live one after the other.

pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod rules;
pub(crate) mod tmp;
