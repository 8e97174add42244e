//! The HTTP interface: one flat router, one file a resource, and `error` as the only place with status codes.

mod cors;
mod error;
mod function;
mod health;
mod listen;
mod phase;
mod requests;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio_util::task::TaskTracker;

pub use cors::open_to;
pub(crate) use function::Success;
pub use listen::{ConnectionLimits, Connections};
pub use phase::Phase;

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
    /// Whether they are still run.
    pub phase: Phase,
}

/// All routes.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/healthcheck", get(health::check))
        .route("/api/v1/healthcheck", get(health::check))
        .route("/api/v1/function", post(function::run))
        .fallback(error::no_such_resource)
        .method_not_allowed_fallback(error::no_such_method)
        .with_state(app)
}
