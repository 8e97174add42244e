//! SIGHUP: the configuration is read again, and the keys that can change in a running server
//! change.
//!
//! Invariants: a configuration with a problem changes nothing; the log names as changed only the
//! keys whose appliers took the new value; the log shows no secret; work that began before a change
//! ends under the values that it began with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use common::causes;
use parking_lot::Mutex;

use super::admin_auth::{self, AdminAuth};
use super::error::StartupError;
use super::factory::{PartsFactory, call_policy, sources_bounds};
use super::parts::Parts;
use crate::calls::CallService;
use crate::compile::Builder;
use crate::config::live::Applier;
use crate::config::{Change, Config, ConfigError, Inputs, Settings};
use crate::http::Setting;
use crate::source::Sources;

/// Where the configuration is read from, the one in force, and the parts that apply its live keys.
#[derive(Clone)]
pub(super) struct Reload {
    inputs: Inputs,
    settings: Arc<ArcSwap<Settings>>,
    calls: Arc<CallService>,
    sources: Arc<Sources>,
    builder: Arc<Builder>,
    factory: Arc<PartsFactory>,
    admin_auth: AdminAuth,
    shutdown_grace: Arc<Mutex<Duration>>,
}

/// What a reload did with each key that differs.
#[derive(Debug, Default)]
struct ReloadOutcome {
    /// The keys whose new values are in force.
    applied: Vec<Change>,
    /// The live keys that keep their values, each with the reason.
    refused: Vec<(Change, String)>,
    /// The keys that need a restart.
    waiting: Vec<Change>,
}

impl Reload {
    pub(super) fn new(
        inputs: Inputs,
        settings: Settings,
        parts: &Parts,
        admin_auth: AdminAuth,
    ) -> Self {
        let shutdown_grace = Arc::new(Mutex::new(settings.config().shutdown_grace()));
        Self {
            inputs,
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            calls: parts.calls.clone(),
            sources: parts.sources.clone(),
            builder: parts.builder.clone(),
            factory: parts.factory.clone(),
            admin_auth,
            shutdown_grace,
        }
    }

    /// The configuration in force, as the admin API shows it.
    pub(super) fn shown(&self) -> impl Fn() -> Vec<Setting> + Send + Sync + 'static {
        let settings = self.settings.clone();
        move || admin_auth::shown(&settings.load())
    }

    /// How long calls under way may go on when the server ends.
    pub(super) fn shutdown_grace(&self) -> Duration {
        *self.shutdown_grace.lock()
    }

    /// Reads the configuration again.
    pub(super) async fn read(&self) {
        let reload = self.clone();
        // Reading a file blocks. A panic in the task leaves the configuration as it was.
        let _ = tokio::task::spawn_blocking(move || reload.read_now()).await;
    }

    fn read_now(&self) {
        match self.inputs.read() {
            Ok(next) => {
                for warning in next.warnings() {
                    tracing::warn!("{warning}");
                }
                self.change_to(&next).log();
            }
            Err(ConfigError::Invalid(problems)) => {
                for problem in &problems {
                    tracing::error!(key = problem.key, "{problem}");
                }
                let count = problems.len();
                tracing::error!(
                    "the configuration stays as it was: the new one has {count} problem(s)"
                );
            }
            Err(error) => {
                let why = causes::chain(&error);
                tracing::error!("the configuration stays as it was: {why}");
            }
        }
    }

    /// Has the appliers of each live key that differs take its new value.
    fn change_to(&self, next: &Settings) -> ReloadOutcome {
        let now = self.settings.load_full();
        let (live, waiting): (Vec<_>, Vec<_>) =
            now.changes(next).into_iter().partition(|change| !change.appliers.is_empty());
        let with = |changes: &[Change]| {
            let keys: Vec<_> = changes.iter().map(|change| change.key).collect();
            now.with(next, &keys)
        };
        let Some(wanted) = with(&live) else {
            let why = "the new values make no configuration together with the ones in force";
            let refused = live.into_iter().map(|change| (change, why.to_owned())).collect();
            return ReloadOutcome { refused, waiting, ..ReloadOutcome::default() };
        };
        let appliers: BTreeSet<Applier> =
            live.iter().flat_map(|change| change.appliers).copied().collect();
        let refusals: BTreeMap<Applier, String> = appliers
            .into_iter()
            .filter_map(|applier| {
                let refused = self.apply(applier, wanted.config()).err()?;
                Some((applier, causes::chain(&refused)))
            })
            .collect();
        let mut outcome = ReloadOutcome { waiting, ..ReloadOutcome::default() };
        for change in live {
            match change.appliers.iter().find_map(|applier| refusals.get(applier)) {
                Some(why) => outcome.refused.push((change, why.clone())),
                None => outcome.applied.push(change),
            }
        }
        if let Some(in_force) = with(&outcome.applied) {
            self.settings.store(Arc::new(in_force));
        }
        outcome
    }

    /// Has one part go on as the configuration says.
    fn apply(&self, applier: Applier, config: &Config) -> Result<(), StartupError> {
        let wait = config.limits.queue_wait.get();
        match applier {
            Applier::CallService => self.calls.change(call_policy(config)),
            Applier::WarmPool => self.calls.warm_pool().set_limits(config.standby.limits()),
            Applier::Sources => {
                self.sources.change(self.factory.fetcher(config), sources_bounds(config));
            }
            Applier::Builder => {
                let size = config.limits.artifact_cache.get();
                let keep = config.jails.cache_purge_after.get();
                self.builder.change(self.factory.compiler(config), size, keep, wait);
            }
            Applier::AdminAuth => self.admin_auth.change(config)?,
            Applier::Shutdown => *self.shutdown_grace.lock() = config.shutdown_grace(),
        }
        Ok(())
    }
}

impl ReloadOutcome {
    fn log(&self) {
        for Change { key, from, to, .. } in &self.applied {
            tracing::info!(key, %from, %to, "{key} has changed");
        }
        for (Change { key, from, to, .. }, why) in &self.refused {
            tracing::error!(key, %from, %to, "{key} keeps its value: {why}");
        }
        for Change { key, from, to, .. } in &self.waiting {
            tracing::warn!(
                key, %from, %to,
                "{key} has a new value in the configuration; restart the server to apply it"
            );
        }
        let (changed, refused, waiting) =
            (self.applied.len(), self.refused.len(), self.waiting.len());
        tracing::info!(changed, refused, waiting, "the configuration was read again");
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
