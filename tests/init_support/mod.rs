//! What the suites of init share: a site with archives, a host to prepare, faults, and what a host
//! looks like.
#![allow(dead_code, unreachable_pub)]

pub mod faults;
pub mod model;
pub mod sweep;
pub mod tarball;
pub mod world;

#[path = "../support/site.rs"]
pub mod site;
