//! Removals that wait for what still uses a dataset.

use std::time::Duration;

use host::zfs::{Why, ZfsError};
use tokio::time::Instant;

use super::destroy::Removal;
use crate::init::Init;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

impl Init {
    /// Removes a dataset or a snapshot; one that is busy for longer than `limit` is an error. A
    /// command of an earlier run that was killed, or the last connection of a jail, may use it for
    /// a while.
    pub(super) async fn remove_when_free(
        &self,
        removal: &Removal,
        limit: Duration,
    ) -> Result<(), ZfsError> {
        let until = Instant::now() + limit;
        let mut said = false;
        loop {
            let (name, result) = match removal {
                Removal::Dataset(name) => (name.as_str(), self.zfs.destroy(name).await),
                Removal::Snapshot(name) => (name.as_str(), self.zfs.destroy_snapshot(name).await),
            };
            match result {
                Err(error) if error.why == Why::Busy && Instant::now() < until => {
                    if !std::mem::replace(&mut said, true) {
                        let seconds = limit.as_secs();
                        self.progress.say(&format!(
                            "  waiting for {name}, which is busy, for at most {seconds} s"
                        ));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }
}
