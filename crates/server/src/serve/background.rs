//! Background tasks of a server: the standard library is compiled ahead, the caches are purged, the
//! trash is emptied.

use std::sync::Arc;
use std::time::Duration;

use common::causes::chain;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::parts::Parts;
use crate::compile::BuildError;
use crate::compile::Builder;
use crate::source::Sources;
use crate::store::Trash;

/// How often the caches are purged.
const PURGE_INTERVAL: Duration = Duration::from_secs(600);
/// How long after the start the caches are purged first: calls may be waiting for a server that
/// starts.
const PURGE_DELAY: Duration = Duration::from_secs(10);

/// The background tasks.
pub(super) struct BackgroundTasks {
    tasks: TaskTracker,
    over: CancellationToken,
}

impl BackgroundTasks {
    /// Starts the tasks; `warm` says whether the standard library is compiled ahead.
    pub(super) fn start(parts: &Parts, warm: bool) -> Self {
        let background = Self { tasks: TaskTracker::new(), over: CancellationToken::new() };
        if warm {
            background.spawn(compile_ahead(parts.builder.clone()));
        }
        background.spawn(purge(parts.sources.clone(), parts.builder.clone()));
        background.spawn(empty_trash(parts.trash.clone()));
        background
    }

    /// Runs one more task until the server ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.over.clone().run_until_cancelled_owned(task));
    }

    /// Ends the tasks.
    pub(super) async fn end(self) {
        self.over.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn compile_ahead(builder: Arc<Builder>) {
    match builder.warm().await {
        // A busy server compiles what its calls need.
        Ok(()) | Err(BuildError::Busy(_) | BuildError::OverShare { .. }) => {}
        Err(error) => {
            let reason = chain(&error);
            tracing::warn!(
                reason,
                "the standard library was not compiled ahead (go.warm); first builds take longer"
            );
        }
    }
}

async fn purge(sources: Arc<Sources>, builder: Arc<Builder>) {
    tokio::time::sleep(PURGE_DELAY).await;
    loop {
        let (sources, builder) = (sources.clone(), builder.clone());
        let purged = tokio::task::spawn_blocking(move || (sources.purge(), builder.purge())).await;
        if let Ok((checkouts, artifacts)) = purged {
            tracing::debug!(checkouts, artifacts, "bytes in the caches");
        }
        tokio::time::sleep(PURGE_INTERVAL).await;
    }
}

async fn empty_trash(trash: Arc<Trash>) {
    loop {
        trash.filled().await;
        let trash = trash.clone();
        // What a panic leaves is deleted the next time.
        let _ = tokio::task::spawn_blocking(move || trash.empty()).await;
    }
}
