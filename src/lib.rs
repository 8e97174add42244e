//! Sky Island: any exported function of any public Go repository, one HTTP request away, each call in a sandbox of its
//! own. `docs/architecture.md` has the plan of the house.

pub mod build;
pub mod call;
pub mod causes;
pub mod cli;
pub mod config;
mod disk;
pub mod exec;
pub mod flight;
pub mod http;
pub mod init;
pub mod invoke;
pub mod island;
pub mod layout;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod net;
pub mod server;
pub mod source;
pub mod state;
pub mod store;
pub mod zfs;
