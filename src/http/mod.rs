//! The HTTP interface: one flat router, one file a resource, and `error` as the only place with status codes.

mod admin;
mod error;
mod function;
mod health;
mod listen;
mod openapi;
mod peer;

use std::sync::Arc;

use axum::Router;
use tokio_util::task::TaskTracker;

pub use admin::{Access, AccessError, Admin, HEADER, Setting};
pub(crate) use function::Success;
pub use listen::serve;
pub use openapi::document;
pub use peer::Peer;

use crate::invoke::Invoker;
use crate::metrics::Metrics;

/// What handlers need.
#[derive(Clone)]
pub struct App {
    /// Runs calls.
    pub invoker: Arc<Invoker>,
    /// Calls under way; they outlive their connections.
    pub calls: TaskTracker,
    /// Counts them.
    pub metrics: Metrics,
    /// What the admin API needs besides.
    pub admin: Admin,
}

/// All routes.
pub fn router(app: App) -> Router {
    let (router, _) = openapi::routes().split_for_parts();
    admin::nest(router, &app)
        .fallback(error::no_such_resource)
        .method_not_allowed_fallback(error::no_such_method)
        .with_state(app)
}
