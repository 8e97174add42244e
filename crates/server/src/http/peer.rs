//! The peer of a connection, as the listener sees it.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::principal::Principal;

/// The peer of a connection. The connection puts it into the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client at this address.
    Address(SocketAddr),
    /// A user of this host, over the server's unix socket, by its user id where the system reports
    /// it.
    Unix(Option<u32>),
    /// A peer that no listener has reported.
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix(_) => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl From<Peer> for Principal {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Address(address) => Self::address(address.ip()),
            Peer::Unix(Some(user)) => Self::Unix(user),
            Peer::Unix(None) | Peer::Unknown => Self::Unknown,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::Unknown))
    }
}
