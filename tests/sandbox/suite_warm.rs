//! The part of the suite that depends on whether a function is called on a warm island. The other
//! tests make their islands themselves.

#[cfg(target_os = "freebsd")]
use crate::sandbox::system;
use crate::sandbox::{host, platform};

mod endings;
mod files;
#[cfg(target_os = "freebsd")]
mod freebsd;
mod limits;
#[cfg(not(target_os = "freebsd"))]
mod linux;
mod rights;
#[cfg(target_os = "linux")]
mod shared;
mod surroundings;
mod tools;
