//! What the admin API needs besides what calls need.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::http::admin::token::Access;

/// Requests at once; further ones are refused.
pub(super) const AT_ONCE: usize = 16;
/// Requests to warm a function at once. They take long, so they have a limit of their own.
pub(super) const WARMS: usize = 16;

/// What the admin API needs besides what calls need.
#[derive(Clone)]
pub struct Admin {
    pub(super) access: Access,
    pub(super) settings: Arc<dyn Fn() -> Vec<Setting> + Send + Sync>,
    pub(super) requests: Arc<Semaphore>,
    pub(super) warms: Arc<Semaphore>,
}

impl Admin {
    /// An admin API behind this token. `settings` gives the configuration in force, with its secrets masked.
    pub fn new(
        access: Access,
        settings: impl Fn() -> Vec<Setting> + Send + Sync + 'static,
    ) -> Self {
        let [requests, warms] = [AT_ONCE, WARMS].map(|most| Arc::new(Semaphore::new(most)));
        Self { access, settings: Arc::new(settings), requests, warms }
    }
}

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Setting {
    /// `limits.memory`
    pub key: String,
    /// The value in force; secrets are masked.
    pub value: serde_json::Value,
    /// Where the value comes from: `default`, `file`, `environment` or `flag`.
    pub source: String,
}
