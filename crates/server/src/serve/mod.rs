//! A server from its start to its end: the parts put together, connections served, signals obeyed.

mod admin_auth;
mod background;
mod error;
mod factory;
mod frontend;
mod manager;
#[cfg(test)]
mod messages_tests;
mod parts;
mod reload;
mod run;
mod signals;
mod successor;

pub use error::StartupError;
pub use parts::Parts;
pub use run::{Ended, serve};
pub use signals::{Action, Signals};
pub use successor::Successor;
