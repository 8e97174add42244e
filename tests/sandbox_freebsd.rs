//! The promises of a sandbox on FreeBSD: the same as on Linux, from the same files, and those of
//! jails besides. It needs a host that `sky-island init` has prepared, and root; `make
//! test-freebsd` runs it. Elsewhere its one test is skipped.
//!
//! `SKY_ISLAND_TEST_CONFIG` names the host's configuration where it is not
//! /usr/local/etc/sky-island/config.json, and `SKY_ISLAND_TEST_ADDRESS=INTERFACE,ADDRESS` an
//! address that islands may lease where the configuration has no pool.
// Each variant is a module of its own, so that each of its tests has a name.
#![allow(clippy::duplicate_mod)]

#[path = "support/skip.rs"]
mod skip;

/// What all variants share.
#[cfg(target_os = "freebsd")]
mod sandbox {
    pub(crate) mod again;
    pub(crate) mod host;
    pub(crate) mod kit;
    pub(crate) mod offers;
    pub(crate) mod platform;
    pub(crate) mod system;
}

#[cfg(target_os = "freebsd")]
#[path = "sandbox/suite.rs"]
mod root;
#[cfg(target_os = "freebsd")]
#[path = "sandbox/suite_warm.rs"]
mod warm;

#[cfg(target_os = "freebsd")]
#[test]
fn islands_of_an_ordinary_user() {
    let Err(why) = sandbox::platform::ORDINARY_USERS else {
        panic!("add the variants of sandbox.rs")
    };
    skip::skip("all promises to an ordinary user", &skip::Reason::impossible(why));
}

#[cfg(not(target_os = "freebsd"))]
#[test]
fn the_promises_of_freebsd() {
    let why = skip::Reason::impossible("this is no FreeBSD host (make test-freebsd)");
    skip::skip("the sandbox on FreeBSD", &why);
}
