//! The promises of a sandbox on Linux, one test each. A stranger's program, compiled from
//! `fixtures/hostile`, tries to break them. Every test is there once for each variant: `root`,
//! `user` (an ordinary user), and, where it matters, `warm` and `user_warm` (functions are called
//! on warm islands). What a host or a user cannot be given is printed and counted as skipped.
//! `sandbox_freebsd.rs` holds the same for FreeBSD, from the same files.
#![cfg(not(target_os = "freebsd"))]
// Each variant is a module of its own, so that each of its tests has a name.
#![allow(clippy::duplicate_mod)]

#[path = "support/skip.rs"]
mod skip;

/// What all variants share.
mod sandbox {
    pub(crate) mod again;
    pub(crate) mod host;
    pub(crate) mod kit;
    pub(crate) mod offers;
    pub(crate) mod platform;
    pub(crate) mod system;
}

#[path = "sandbox/suite.rs"]
mod root;
#[path = "sandbox/suite.rs"]
mod user;
#[path = "sandbox/suite_warm.rs"]
mod user_warm;
#[path = "sandbox/suite_warm.rs"]
mod warm;
