//! The HTTP interface: one flat router, one file a resource, and `error` as the only place with status codes.

mod admin;
mod cors;
mod error;
mod function;
mod health;
mod json;
mod listen;
mod numbers;
mod openapi;
mod peer;
mod phase;
mod report;
mod requests;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use tokio_util::task::TaskTracker;

pub use admin::{Access, AccessError, Admin, HEADER, Setting};
pub use cors::open_to;
pub use function::Success;
pub use listen::{ConnectionLimits, Connections};
pub use openapi::document;
pub use peer::Peer;
pub use phase::Phase;

use crate::calls::CallService;
use crate::metrics::Metrics;

/// What handlers need. Clones share it.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

impl App {
    /// Of these parts.
    pub fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

/// The parts of an [`App`].
pub struct AppParts {
    /// Runs calls.
    pub calls: Arc<CallService>,
    /// Calls under way; they outlive their connections.
    pub tasks: TaskTracker,
    /// Counts them.
    pub metrics: Metrics,
    /// What the admin API needs besides.
    pub admin: Admin,
    /// Whether they are still run.
    pub phase: Phase,
}

/// All routes.
pub fn router(app: App) -> Router {
    let (router, _) = openapi::routes().split_for_parts();
    admin::nest(router, &app)
        .fallback(error::no_such_resource)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(axum::middleware::from_fn_with_state(app.clone(), numbers::count))
        .with_state(app)
}
