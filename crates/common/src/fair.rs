//! Slots that are shared fairly: no client can hold all of them, and clients that wait are served
//! in rotation.
//!
//! Invariants: a client never holds more slots than its share; a slot that is free while a client
//! that may have it waits is handed to that client; of one client's waits the queues take turns
//! too.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::turns::Turns;

/// How many slots there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// All slots.
    pub slots: usize,
    /// The most slots that one client may hold.
    pub per_client: usize,
}

impl Shares {
    /// The part of all slots that one client cannot take, as a divisor.
    const KEPT: usize = 4;

    /// The share of one client where none is configured: three quarters, so that there is a slot
    /// for another client wherever there are two slots.
    pub fn default_share(slots: usize) -> usize {
        slots.saturating_sub(slots.div_ceil(Self::KEPT)).max(1)
    }
}

/// Slots for clients of type `C`. The waits of a client lie in queues of type `Q`. Clones are the
/// same slots.
pub struct FairSlots<C: Key, Q: Key> {
    state: Arc<Mutex<State<C, Q>>>,
}

/// What tells clients, or queues, apart.
pub trait Key: Clone + Eq + Hash + Send + 'static {}

impl<T: Clone + Eq + Hash + Send + 'static> Key for T {}

struct State<C: Key, Q: Key> {
    shares: Shares,
    free: usize,
    /// The slots of each client that holds any.
    held: HashMap<C, usize>,
    /// The waits of each client that waits.
    waits: HashMap<C, Turns<Q, Wait<C, Q>>>,
    /// The clients that wait; the next one first.
    rotation: VecDeque<C>,
    /// The number of the last wait.
    last: u64,
    waiting: usize,
}

struct Wait<C: Key, Q: Key> {
    number: u64,
    sender: oneshot::Sender<Slot<C, Q>>,
}

/// A slot, until it is dropped.
pub struct Slot<C: Key, Q: Key> {
    slots: FairSlots<C, Q>,
    /// None once the slot is free.
    client: Option<C>,
}

impl<C: Key, Q: Key> Clone for FairSlots<C, Q> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone() }
    }
}

impl<C: Key, Q: Key> FairSlots<C, Q> {
    /// Free slots.
    pub fn new(shares: Shares) -> Self {
        let state = State {
            shares,
            free: shares.slots,
            held: HashMap::new(),
            waits: HashMap::new(),
            rotation: VecDeque::new(),
            last: 0,
            waiting: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A slot, if one is free for this client.
    pub fn try_acquire(&self, client: &C) -> Option<Slot<C, Q>> {
        let is_taken = self.state.lock().take(client);
        is_taken.then(|| Slot { slots: self.clone(), client: Some(client.clone()) })
    }

    /// A slot. Waits in one of the client's queues until one is free for the client.
    pub async fn acquire(&self, client: &C, queue: &Q) -> Slot<C, Q> {
        loop {
            let (number, slot) = {
                let mut state = self.state.lock();
                if state.take(client) {
                    return Slot { slots: self.clone(), client: Some(client.clone()) };
                }
                state.wait(client, queue)
            };
            let _leaves = Leaves { state: &self.state, client, queue, number };
            // The sender of a wait is dropped with all slots alone.
            if let Ok(slot) = slot.await {
                return slot;
            }
        }
    }

    /// Whether a client holds its whole share while there are more slots than that.
    pub fn has_share(&self, client: &C) -> bool {
        let state = self.state.lock();
        let Shares { slots, per_client } = state.shares;
        per_client < slots && state.held(client) >= per_client
    }

    /// How many slots are taken, and how many waits there are.
    pub fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.shares.slots - state.free, state.waiting)
    }

    /// The shares.
    pub fn shares(&self) -> Shares {
        self.state.lock().shares
    }

    /// Hands free slots to the clients that wait for them.
    fn hand_out(&self) {
        loop {
            let Some((client, wait)) = self.state.lock().next() else { return };
            let slot = Slot { slots: self.clone(), client: Some(client) };
            if let Err(mut slot) = wait.sender.send(slot)
                && let Some(client) = slot.client.take()
            {
                // The client has left.
                self.state.lock().release(&client);
            }
        }
    }
}

impl<C: Key, Q: Key> State<C, Q> {
    fn held(&self, client: &C) -> usize {
        self.held.get(client).copied().unwrap_or(0)
    }

    /// Takes a slot for a client, if one is free for it.
    fn take(&mut self, client: &C) -> bool {
        let is_free = self.free > 0 && self.held(client) < self.shares.per_client;
        if is_free {
            self.free -= 1;
            *self.held.entry(client.clone()).or_default() += 1;
        }
        is_free
    }

    fn release(&mut self, client: &C) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(client) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(client);
            }
        }
    }

    fn wait(&mut self, client: &C, queue: &Q) -> (u64, oneshot::Receiver<Slot<C, Q>>) {
        let (sender, slot) = oneshot::channel();
        self.last += 1;
        self.waiting += 1;
        if !self.waits.contains_key(client) {
            self.rotation.push_back(client.clone());
        }
        let waits = self.waits.entry(client.clone()).or_default();
        waits.push(queue.clone(), Wait { number: self.last, sender });
        (self.last, slot)
    }

    /// Takes a slot for the next client that may have one.
    fn next(&mut self) -> Option<(C, Wait<C, Q>)> {
        if self.free == 0 {
            return None;
        }
        let most = self.shares.per_client;
        let at = self.rotation.iter().position(|client| self.held(client) < most)?;
        let client = self.rotation.remove(at)?;
        let waits = self.waits.get_mut(&client)?;
        let wait = waits.pop()?;
        match waits.is_empty() {
            true => drop(self.waits.remove(&client)),
            false => self.rotation.push_back(client.clone()),
        }
        self.waiting -= 1;
        self.take(&client);
        Some((client, wait))
    }

    fn leave(&mut self, client: &C, queue: &Q, number: u64) {
        let Some(waits) = self.waits.get_mut(client) else { return };
        self.waiting -= waits.remove(queue, |wait| wait.number == number);
        if waits.is_empty() {
            self.waits.remove(client);
            self.rotation.retain(|other| other != client);
        }
    }
}

impl<C: Key, Q: Key> Drop for Slot<C, Q> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.slots.state.lock().release(&client);
            self.slots.hand_out();
        }
    }
}

/// Takes a wait out of its queue when it is over, one way or the other.
struct Leaves<'a, C: Key, Q: Key> {
    state: &'a Mutex<State<C, Q>>,
    client: &'a C,
    queue: &'a Q,
    number: u64,
}

impl<C: Key, Q: Key> Drop for Leaves<'_, C, Q> {
    fn drop(&mut self) {
        self.state.lock().leave(self.client, self.queue, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::task::yield_now;
    use tokio::time::{sleep, timeout};

    type Slots = FairSlots<&'static str, &'static str>;

    fn slots(slots: usize, per_client: usize) -> Slots {
        FairSlots::new(Shares { slots, per_client })
    }

    #[test]
    fn the_share_of_a_client_leaves_a_slot_for_another_wherever_there_are_two() {
        let shares = [1, 2, 3, 4, 8, 1024].map(Shares::default_share);
        assert_eq!(shares, [1, 1, 2, 3, 6, 768]);
    }

    #[tokio::test]
    async fn a_client_gets_no_more_than_its_share_and_others_the_rest() {
        let slots = slots(4, 3);
        let greedy: Vec<_> = (0..4).map(|_| slots.try_acquire(&"greedy")).collect();
        assert_eq!(greedy.iter().flatten().count(), 3);
        assert!(slots.has_share(&"greedy") && !slots.has_share(&"other"));
        let other = slots.try_acquire(&"other").expect("a slot is free");
        assert!(slots.try_acquire(&"third").is_none());
        assert_eq!(slots.load(), (4, 0));
        drop((greedy, other));
        assert_eq!(slots.load(), (0, 0));
        assert!(slots.state.lock().held.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_wait_are_served_in_rotation_and_so_are_their_queues() {
        let slots = slots(1, 1);
        let first = slots.acquire(&"a", &"x").await;
        let (sender, mut served) = tokio::sync::mpsc::unbounded_channel();
        for (client, queue) in
            [("a", "x"), ("a", "x"), ("a", "y"), ("b", "x"), ("b", "x"), ("c", "x")]
        {
            let (slots, sender) = (slots.clone(), sender.clone());
            tokio::spawn(async move {
                let slot = slots.acquire(&client, &queue).await;
                sender.send((client, queue)).unwrap();
                sleep(Duration::from_millis(1)).await;
                drop(slot);
            });
            yield_now().await;
        }
        assert_eq!(slots.load(), (1, 6));
        drop((first, sender));
        let mut order = Vec::new();
        while let Some(next) = served.recv().await {
            order.push(next);
        }
        let expected = [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("b", "x"), ("a", "x")];
        assert_eq!(order, expected);
        assert_eq!(slots.load(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_waiting_takes_no_slot_and_leaves_nothing() {
        let slots = slots(1, 1);
        let held = slots.acquire(&"a", &"x").await;
        let moment = Duration::from_millis(5);
        assert!(timeout(moment, slots.acquire(&"b", &"x")).await.is_err());
        {
            let state = slots.state.lock();
            assert!(state.waits.is_empty() && state.rotation.is_empty() && state.waiting == 0);
        }
        // The slot is handed to a client that leaves before it looks.
        let mut leaver = Box::pin(slots.acquire(&"b", &"x"));
        assert!(timeout(moment, &mut leaver).await.is_err());
        drop(held);
        drop(leaver);
        assert_eq!(slots.load(), (0, 0));
        assert!(timeout(moment, slots.acquire(&"c", &"x")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_with_its_whole_share_does_not_hold_up_the_next_one() {
        let slots = slots(2, 1);
        let greedy = slots.acquire(&"greedy", &"x").await;
        let waits = tokio::spawn({
            let slots = slots.clone();
            async move { slots.acquire(&"greedy", &"x").await }
        });
        yield_now().await;
        let other = timeout(Duration::from_millis(5), slots.acquire(&"other", &"x")).await;
        assert!(other.is_ok());
        drop((greedy, other));
        assert!(waits.await.is_ok());
    }
}
