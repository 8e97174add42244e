//! Where the server listens: places as they are configured, sockets that it binds or was passed, certificates, and the
//! sockets that it passes on to the program that takes over.
//!
//! What must always hold: a socket that was passed is left as it was found; one that we bound is gone after us, unless it
//! was passed on.

mod endpoint;
mod listener;
mod origin;
mod passed;
mod tls;
mod unix;

pub use endpoint::{Endpoint, EndpointError, Protocol};
pub use listener::{Accepted, ListenError, Listener, open};
pub use origin::{Origin, OriginError};
pub use passed::{Outgoing, Passed, PassedError};
pub use tls::{Tls, TlsError};
