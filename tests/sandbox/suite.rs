//! The whole suite: `sandbox.rs` and `sandbox_freebsd.rs` have it once for root and once for an
//! ordinary user.

use crate::sandbox::{host, platform, system};

#[cfg(target_os = "linux")]
mod addresses;
mod endings;
mod files;
#[cfg(target_os = "freebsd")]
mod freebsd;
mod lifecycle;
mod limits;
#[cfg(not(target_os = "freebsd"))]
mod linux;
mod pool;
mod rights;
#[cfg(target_os = "linux")]
mod shared;
#[cfg(target_os = "linux")]
mod shares;
mod surroundings;
#[cfg(not(target_os = "freebsd"))]
mod timers;
mod tools;
#[cfg(target_os = "linux")]
mod zygotes;
