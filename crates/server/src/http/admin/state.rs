//! The state of the admin API.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::http::admin::token::Access;

/// Admin requests at once; further requests are refused.
pub(super) const AT_ONCE: usize = 16;
/// Requests to warm a function at once. They take long, so they have a limit of their own.
pub(super) const WARMS: usize = 16;

/// The state of the admin API.
#[derive(Clone)]
pub struct Admin {
    pub(super) access: Access,
    pub(super) settings: Arc<dyn Fn() -> Vec<Setting> + Send + Sync>,
    pub(super) requests: Arc<Semaphore>,
    pub(super) warms: Arc<Semaphore>,
}

impl Admin {
    /// An admin API behind this token. `settings` returns the configuration in force, with its
    /// secrets masked.
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
    /// The path of the key: `limits.memory`.
    pub key: String,
    /// The value in force; secrets are masked.
    pub value: serde_json::Value,
    /// Where the value comes from: `default`, `file`, `environment` or `flag`.
    pub source: String,
}
