//! The admin API, with which operators inspect and control a running server.
//!
//! Invariants: nothing below [`PREFIX`](routes::PREFIX) is shown or done without the token. Each
//! change is logged with the peer that made it. Every request is bounded in size and time.

mod answer;
mod cache;
mod config;
mod go;
mod guarded;
mod ips;
mod jails;
#[cfg(test)]
mod messages;
mod query;
pub(super) mod routes;
pub(super) mod state;
mod stats;
pub(super) mod token;
mod warm;
