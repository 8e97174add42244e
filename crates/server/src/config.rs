//! The configuration: its keys, their defaults, and what must hold for it to be used.
//!
//! The keys of the 2017 server keep their names and places. Each key has a default. The types and
//! their doc comments are the only definition of the keys: [`keys`] reads it, and the reference,
//! the flags and the checks are made from it. [`Inputs`] puts a configuration together from flags,
//! the environment and the file, and reports all problems at once.

mod check;
mod endpoints;
mod environment;
mod file;
mod host;
mod inputs;
mod islands;
mod jails;
pub mod keys;
mod limits;
mod listen;
pub mod live;
mod log;
mod network;
mod problem;
mod ranges;
pub mod reference;
mod reuse;
mod schema;
mod settings;
mod standby;
mod units;
mod validate;

pub use environment::{SERVER, variable};
pub use file::Position;
pub use inputs::Inputs;
pub use jails::Jails;
pub use limits::Limits;
pub use listen::{Endpoints, Tls};
pub use log::{Level, Log};
pub use network::Network;
pub use problem::{ConfigError, Problem, SetBy};
pub use reuse::{Island, Reuse};
pub use schema::{Config, Filesystem, GoConfig, PORT, Sources};
pub use settings::{Change, Entry, Settings};
pub use standby::Standby;
pub use units::{Bytes, Span};
