//! What both systems share of a launcher: the server's side of it, the messages, and the user ids of islands.

pub(crate) mod client;
pub(crate) mod process;
pub(crate) mod uids;
#[doc(hidden)]
pub mod wire;
