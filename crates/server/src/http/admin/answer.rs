//! The answers of the admin API's handlers, and the log of changes.

use std::fmt::Arguments;

use crate::http::error::Refused;
use crate::http::json::Json;
use crate::http::peer::Peer;

/// The answer of a handler.
pub(super) type AdminAnswer<T> = Result<Json<T>, Refused>;

/// Logs a change, with the peer that makes it.
pub(super) fn note(peer: Peer, change: Arguments<'_>) {
    tracing::info!(%peer, "admin: {change}");
}
