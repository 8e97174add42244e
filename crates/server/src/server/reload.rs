//! SIGHUP: the configuration is read again, and what can change in a running server does.
//!
//! What must always hold: a configuration with a problem changes nothing; what is logged names no secret; what begins
//! before a change ends under what it began with.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use common::causes;

use super::Parts;
use super::admin_auth::{self, AdminAuth};
use super::factory::{PartsFactory, call_policy, sources_bounds};
use crate::calls::CallService;
use crate::compile::Builder;
use crate::config::ConfigError;
use crate::config::Settings;
use crate::http::Setting;
use crate::source::Sources;

/// The configuration in force, and the parts that follow it.
#[derive(Clone)]
pub(super) struct Reload {
    settings: Arc<ArcSwap<Settings>>,
    calls: Arc<CallService>,
    sources: Arc<Sources>,
    builder: Arc<Builder>,
    workshop: Arc<PartsFactory>,
    door: AdminAuth,
}

impl Reload {
    pub(super) fn new(settings: Settings, parts: &Parts, door: AdminAuth) -> Self {
        Self {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            calls: parts.calls.clone(),
            sources: parts.sources.clone(),
            builder: parts.builder.clone(),
            workshop: parts.workshop.clone(),
            door,
        }
    }

    /// What operators see of the configuration that is in force.
    pub(super) fn shown(&self) -> impl Fn() -> Vec<Setting> + Send + Sync + 'static {
        let settings = self.settings.clone();
        move || admin_auth::shown(&settings.load())
    }

    /// How long calls under way may go on when the server ends.
    pub(super) fn shutdown_grace(&self) -> Duration {
        self.settings.load().config().shutdown_grace()
    }

    /// Reads the configuration again.
    pub(super) async fn read(&self) {
        let reload = self.clone();
        // The file may lie on a disk that takes its time. A panic in there leaves things as they are.
        let _ = tokio::task::spawn_blocking(move || reload.read_now()).await;
    }

    fn read_now(&self) {
        let now = self.settings.load_full();
        match now.read_again() {
            Ok(next) => self.take_up(&now, &next),
            Err(ConfigError::Invalid(problems)) => {
                for problem in &problems {
                    tracing::error!(key = problem.key, "{problem}");
                }
                let count = problems.len();
                tracing::error!(
                    "the configuration stays as it was, for the new one has problems: {count}"
                );
            }
            Err(error) => {
                let why = causes::chain(&error);
                tracing::error!("the configuration stays as it was: {why}");
            }
        }
    }

    fn take_up(&self, now: &Settings, next: &Settings) {
        for warning in next.warnings() {
            tracing::warn!("{warning}");
        }
        let changes = now.changes(next);
        let (live, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.live);
        if !live.is_empty() {
            let updated = now.updated(next);
            self.apply(&updated);
            self.settings.store(Arc::new(updated));
        }
        for change in &live {
            let (key, from, to) = (change.key, &change.from, &change.to);
            tracing::info!(key, %from, %to, "{key} has changed");
        }
        for change in &others {
            let (key, from, to) = (change.key, &change.from, &change.to);
            tracing::warn!(key, %from, %to, "{key} differs in the file, and needs a restart to change");
        }
        let (changed, waiting) = (live.len(), others.len());
        tracing::info!(changed, waiting, "the configuration was read again");
    }

    /// Has every part go on as the configuration says. This names what belongs to each key that is marked `x-live`.
    fn apply(&self, settings: &Settings) {
        let config = settings.config();
        let wait = config.limits.queue_wait.get();
        self.calls.change(call_policy(config));
        self.calls.warm_pool().set_limits(config.standby.limits());
        self.sources.change(self.workshop.fetcher(config), sources_bounds(config));
        let (size, keep) =
            (config.limits.artifact_cache.get(), config.jails.cache_purge_after.get());
        self.builder.change(self.workshop.compiler(config), size, keep, wait);
        if let Err(error) = self.door.change(config) {
            let why = causes::chain(&error);
            tracing::error!("the admin API is open to those who had its token before: {why}");
        }
    }
}
