//! Admission: how many calls are in the server at once, and how many functions run at once.

use std::time::Duration;

use common::fair::{FairSlots, Slot};
use common::units::Span;
use tokio::time::timeout;

use crate::calls::code::Code;
use crate::calls::failure::Failure;
use crate::calls::policy::Capacity;
use crate::calls::stage::Stage;
use crate::principal::Client;
use crate::source::ImportPath;

/// Admits calls, and hands out execution slots.
pub(super) struct Admission {
    /// The calls that may be in the server.
    calls: FairSlots<Client, ()>,
    /// The functions that may run. Modules of one client wait in queues of their own.
    slots: FairSlots<Client, ImportPath>,
}

/// The place of a call among `limits.calls`, until it is dropped.
pub(super) type Admitted = Slot<Client, ()>;

/// The execution slot of a call, until it is dropped.
pub(super) type ExecutionSlot = Slot<Client, ImportPath>;

/// The load of the server at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Calls in the server, including waiting calls.
    pub calls: usize,
    /// The limit of calls (`limits.calls`).
    pub most_calls: usize,
    /// Calls that wait for an execution slot.
    pub waiting: usize,
    /// Taken execution slots.
    pub running: usize,
    /// All execution slots (`limits.concurrency`).
    pub most_running: usize,
}

impl Admission {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self { calls: FairSlots::new(capacity.calls), slots: FairSlots::new(capacity.running) }
    }

    /// Admits a call of a client, or refuses it at once.
    pub(super) fn admit(&self, client: Client) -> Result<Admitted, Failure> {
        self.calls.try_acquire(&client).ok_or_else(|| {
            let shares = self.calls.shares();
            let (code, detail) = match self.calls.has_share(&client) {
                true => (
                    Code::OverShare,
                    format!(
                        "this client has its whole share of {} calls in flight (limits.per_client.calls); try again when one has ended",
                        shares.per_client
                    ),
                ),
                false => (
                    Code::Busy,
                    format!(
                        "too many calls in flight (limits.calls = {}); try again in a second",
                        shares.slots
                    ),
                ),
            };
            Failure::new(code, Stage::Queue, detail)
        })
    }

    /// An execution slot for a client's call of a package; a call waits at most this long for one.
    pub(super) async fn slot(
        &self,
        client: Client,
        package: &ImportPath,
        wait: Duration,
    ) -> Result<ExecutionSlot, Failure> {
        let slot = timeout(wait, self.slots.acquire(&client, package)).await;
        slot.map_err(|_| {
            let (shares, wait) = (self.slots.shares(), Span(wait));
            let (code, detail) = match self.slots.has_share(&client) {
                true => (
                    Code::OverShare,
                    format!(
                        "this client's calls hold its whole share of {} execution slots (limits.per_client.concurrency), and none ended within {wait} (limits.queue_wait); try again when one has ended",
                        shares.per_client
                    ),
                ),
                false => (
                    Code::Busy,
                    format!(
                        "no execution slot became free within {wait} (limits.queue_wait, limits.concurrency = {}); try again later",
                        shares.slots
                    ),
                ),
            };
            Failure::new(code, Stage::Queue, detail)
        })
    }

    /// The load now.
    pub(super) fn load(&self) -> Load {
        let ((calls, _), (running, waiting)) = (self.calls.load(), self.slots.load());
        let (most_calls, most_running) = (self.calls.shares().slots, self.slots.shares().slots);
        Load { calls, most_calls, waiting, running, most_running }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::principal::Principal;
    use common::fair::Shares;

    const LONG: Duration = Duration::from_secs(10);

    fn client(last: u8) -> Client {
        Principal::address([203, 0, 113, last].into()).client()
    }

    fn admission(calls: usize, running: usize) -> Admission {
        let all = |slots| Shares { slots, per_client: slots };
        Admission::new(Capacity { calls: all(calls), running: all(running) })
    }

    #[tokio::test(start_paused = true)]
    async fn calls_and_slots_are_counted_and_bounded() {
        let (admission, package) = (admission(2, 1), ImportPath::parse("a.b/c").unwrap());
        let load = || {
            let load = admission.load();
            (load.calls, load.waiting, load.running)
        };
        let first = admission.admit(client(1)).unwrap();
        let second = admission.admit(client(2)).unwrap();
        let refused = admission.admit(client(3)).err().unwrap();
        assert_eq!((refused.code, refused.stage), (Code::Busy, Stage::Queue));
        assert!(refused.detail.contains("limits.calls = 2"), "{refused:?}");
        drop(first);
        let slot = admission.slot(client(1), &package, LONG).await.unwrap();
        assert_eq!(load(), (1, 0, 1));
        let (late, ()) = tokio::join!(admission.slot(client(2), &package, LONG), async {
            tokio::task::yield_now().await;
            assert_eq!(load(), (1, 1, 1));
        });
        let late = late.err().unwrap();
        assert!(late.detail.contains("within 10 s"), "{late:?}");
        assert!(late.detail.contains("limits.concurrency = 1"), "{late:?}");
        drop((second, slot));
        assert_eq!(load(), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_over_its_share_is_told_so_while_others_are_served() {
        let shares = Shares { slots: 2, per_client: 1 };
        let admission = Admission::new(Capacity { calls: shares, running: shares });
        let package = ImportPath::parse("a.b/c").unwrap();
        let _greedy = admission.admit(client(1)).unwrap();
        let refused = admission.admit(client(1)).err().unwrap();
        assert_eq!(refused.code, Code::OverShare);
        assert!(refused.detail.contains("limits.per_client.calls"), "{refused:?}");
        assert!(admission.admit(client(2)).is_ok());
        let _slot = admission.slot(client(1), &package, LONG).await.unwrap();
        let late = admission.slot(client(1), &package, LONG).await.err().unwrap();
        assert_eq!(late.code, Code::OverShare);
        assert!(late.detail.contains("limits.per_client.concurrency"), "{late:?}");
        assert!(admission.slot(client(2), &package, LONG).await.is_ok());
    }
}
