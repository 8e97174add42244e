//! What the suites of init share: a site with archives, a host to prepare, faults, and what a host looks like.
#![allow(dead_code, unreachable_pub)]

pub mod faults;
pub mod model;
pub mod sweep;
pub mod tarball;
pub mod world;

#[path = "../support/site.rs"]
pub mod site;

/// An error with its causes, as people see it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
