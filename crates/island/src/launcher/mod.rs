//! What all launchers share: the server's side, the messages, and the user ids of islands.

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod process;
mod stop;
pub(crate) mod uids;
#[doc(hidden)]
pub mod wire;
