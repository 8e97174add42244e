//! The state that all handlers share.

use std::ops::Deref;
use std::sync::Arc;

use crate::calls::CallService;
use crate::http::admin::state::Admin;
use crate::metrics::Metrics;

/// The state that all handlers share. Clones are the same state.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

impl App {
    /// An application of these parts.
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
    /// Counts requests.
    pub metrics: Metrics,
    /// The state of the admin API.
    pub admin: Admin,
}
