//! Islands as jails: each one's root is a ZFS clone.
//!
//! What must always hold: what builds argument vectors and reads text has no `cfg` and is tested everywhere; only what
//! needs FreeBSD's own system calls is compiled for it alone.

pub mod chore;
pub mod janitor;
pub mod storage;
