//! Where the server listens: endpoints of the configuration, sockets that are bound or passed,
//! certificates, and the sockets that are handed over to the program that takes over.
//!
//! Invariants: a socket of a service manager is left as it was found; the file of a socket that the
//! server has bound is removed at its end, unless the socket is handed over.

mod endpoint;
mod hand_over;
mod host;
mod listener;
mod origin;
mod passed;
mod tls;
mod unix;

pub use endpoint::{Endpoint, EndpointError, Protocol};
pub use hand_over::HandOverSockets;
pub use host::{ServedHost, ServedHostError};
pub use listener::{Accepted, ListenError, Listener, open};
pub use origin::{Origin, OriginError};
pub use passed::{PassedError, PassedSockets};
pub use tls::{Tls, TlsError};
