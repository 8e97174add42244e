//! What handlers of the admin API answer, and what they log.

use std::fmt::Arguments;

use crate::http::error::Refused;
use crate::http::json::Json;
use crate::http::peer::Peer;

/// The answer of a handler.
pub(super) type Answer<T> = Result<Json<T>, Refused>;

/// Logs a change before it is made.
pub(super) fn note(peer: Peer, what: Arguments<'_>) {
    tracing::info!(%peer, "admin: {what}");
}
