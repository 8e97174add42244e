//! The HTTP interface: one flat router, one file a resource, and `error` as the only place with status codes.

mod error;
mod function;
mod health;
mod listen;
mod numbers;
mod report;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio_util::task::TaskTracker;

pub(crate) use function::Success;
pub use listen::serve;

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
}

/// All routes.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/healthcheck", get(health::check))
        .route("/api/v1/healthcheck", get(health::check))
        .route("/api/v1/function", post(function::run))
        .route("/metrics", get(numbers::show))
        .fallback(error::no_such_resource)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(axum::middleware::from_fn_with_state(app.clone(), numbers::count))
        .with_state(app)
}
