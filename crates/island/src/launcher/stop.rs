//! The end of a launcher's process, without blocking a thread of the runtime.

use std::process::Child;
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How long a launcher may take to end its islands when the server stops, and how long the system
/// may take to end a launcher that was killed.
pub(super) const END_WAIT: Duration = Duration::from_secs(5);
/// How often the server looks whether a launcher has ended.
pub(super) const END_LOOK: Duration = Duration::from_millis(2);

/// Whether a process ends within `time`.
pub(super) async fn has_ended(process: &mut Child, time: Duration) -> bool {
    let until = Instant::now() + time;
    while matches!(process.try_wait(), Ok(None)) {
        if Instant::now() >= until {
            return false;
        }
        sleep(END_LOOK).await;
    }
    true
}

/// Kills a launcher and takes its exit status, so that it leaves no zombie.
pub(super) async fn end(mut process: Child) {
    let _ = process.kill();
    if !has_ended(&mut process, END_WAIT).await {
        let pid = process.id();
        tracing::warn!(pid, "a launcher still runs {} s after a kill", END_WAIT.as_secs());
    }
}
