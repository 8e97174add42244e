//! The islands of this host.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::{Backend, StartError};
use crate::observer::Observer;
use crate::registry::table::Registry;
use crate::run::instance::Running;
use crate::run::outcome::Outcome;
use crate::spec::Spec;

/// The islands of this host.
#[derive(Clone)]
pub struct Islands {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) registry: Arc<Registry>,
    observer: Arc<dyn Observer>,
}

impl Islands {
    /// The islands that `backend` makes.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, registry: Arc::default(), observer: Arc::new(()) }
    }

    /// Reports the events of the islands to `observer`.
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// What hears the events of the islands.
    pub(crate) fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// What makes the islands.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Starts an island.
    pub(crate) async fn start(&self, spec: &Spec) -> Result<Running, StartError> {
        Running::start(&self.backend, &self.registry, &self.observer, spec).await
    }

    /// Runs an island to its end. Dropping the future kills the island.
    pub async fn run(&self, spec: &Spec) -> Result<Outcome, StartError> {
        let began = Instant::now();
        let mut running = self.start(spec).await?;
        let started = Instant::now();
        let ending = running.serve(spec).await.ending?;
        let outcome = running.outcome(ending, started - began, started.elapsed());
        running.end().await?;
        Ok(outcome)
    }
}
