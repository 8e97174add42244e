//! The HTTP interface: one flat router, one file a resource, and `error` as the only place with
//! status codes.

mod admin;
mod app;
mod body;
mod cors;
mod error;
mod function;
mod guard;
mod health;
mod json;
mod listen;
mod numbers;
mod openapi;
mod peer;
mod requests;
mod router;

pub use admin::state::{Admin, Setting};
pub use admin::token::{Access, AccessError, HEADER};
pub use app::{App, AppParts};
pub use cors::open_to;
pub use function::Success;
pub use guard::Guard;
pub use listen::{ConnectionLimits, Connections};
pub use openapi::document;
pub use peer::Peer;
#[doc(hidden)]
pub use router::guarded;
pub use router::router;
