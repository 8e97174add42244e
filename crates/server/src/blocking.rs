//! Work that waits for the disk, away from the threads that answer calls.

/// Does the work on a thread that may wait. A panic of the work is one of the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and the caller's task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
