//! What a server does besides calls, until it ends: the standard library compiled ahead, caches purged, trash emptied.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Parts;
use crate::compile::BuildError;
use crate::compile::Builder;
use crate::source::Sources;
use crate::store::Trash;

/// How often the caches are measured.
const PURGE_INTERVAL: Duration = Duration::from_secs(600);
/// How long after the start they are measured first, for calls may be waiting for a server that starts.
const PURGE_DELAY: Duration = Duration::from_secs(10);

/// What is done in the background.
pub(super) struct BackgroundTasks {
    tasks: TaskTracker,
    over: CancellationToken,
}

impl BackgroundTasks {
    /// Begins them; `ahead` says whether the standard library is compiled.
    pub(super) fn begin(parts: &Parts, ahead: bool) -> Self {
        let chores = Self { tasks: TaskTracker::new(), over: CancellationToken::new() };
        chores.add(warm(parts.builder.clone(), ahead));
        chores.add(purge(parts.sources.clone(), parts.builder.clone()));
        chores.add(empty_trash(parts.trash.clone()));
        chores
    }

    /// Does one more until the server ends.
    pub(super) fn add(&self, chore: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.over.clone().run_until_cancelled_owned(chore));
    }

    /// Ends them.
    pub(super) async fn end(self) {
        self.over.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn warm(builder: Arc<Builder>, wanted: bool) {
    if !wanted {
        return;
    }
    match builder.warm().await {
        Ok(()) => {}
        Err(BuildError::Busy) => {}
        Err(error) => tracing::warn!(%error, "the standard library could not be compiled ahead"),
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
        // A panic in there leaves what it was to delete for the next time.
        let _ = tokio::task::spawn_blocking(move || trash.empty()).await;
    }
}
