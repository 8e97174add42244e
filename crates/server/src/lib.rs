//! The server: calls, where their source comes from, how it is compiled, and HTTP on top.
//! `docs/architecture.md` is a tour of it.

mod blocking;
pub mod calls;
pub mod compile;
pub mod config;
pub mod http;
pub mod init;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod principal;
pub mod serve;
pub mod source;
pub mod state;
pub mod store;
