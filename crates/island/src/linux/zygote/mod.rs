//! Zygotes: fork servers for the islands of functions. A zygote keeps everything that islands can
//! share that live one after the other.

pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod rules;
pub(crate) mod tmp;
pub(crate) mod traces;
