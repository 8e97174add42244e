//! The warm pool: islands that are started before the call comes, each of which serves one call.

pub(crate) mod idle;
pub(crate) mod policy;
pub(crate) mod rate;
pub(crate) mod warm;
