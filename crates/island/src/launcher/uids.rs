//! The host's user ids behind the users of islands, so that no two islands at one time share one.
//!
//! Only root has ids to give away. An ordinary user's islands all have that user's own id; what keeps them apart is
//! their namespaces alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::spec::Purpose;

/// The first id; a range that no distribution's users or containers are given by default.
const FIRST: u32 = 1_398_341_632;
/// The user of [berths](crate::linux), which is no island's.
#[cfg(target_os = "linux")]
pub(crate) const BERTHS: u32 = FIRST + 3;
/// Ids of function islands start here.
const FUNCTIONS: u32 = FIRST + 16;

pub(crate) struct UidPool {
    root: bool,
    taken: Mutex<BTreeSet<u32>>,
}

/// One island's hold on an id.
pub(crate) struct Uid {
    slots: Arc<UidPool>,
    number: u32,
}

impl UidPool {
    pub(crate) fn new(root: bool) -> Arc<Self> {
        Arc::new(Self { root, taken: Mutex::default() })
    }

    /// The lowest free id; none where there is nothing to give.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Uid> {
        if !self.root {
            return None;
        }
        let mut taken = self.taken.lock();
        let number = (0..).find(|number| !taken.contains(number))?;
        taken.insert(number);
        Some(Uid { slots: self.clone(), number })
    }

    /// The id of a tool's islands, which own what they leave on disk.
    pub(crate) fn tool_id(&self, purpose: Purpose) -> Option<u32> {
        let number = match purpose {
            Purpose::Fetch => 1,
            Purpose::Build => 2,
        };
        self.root.then_some(FIRST + number)
    }
}

impl Uid {
    pub(crate) fn host_id(&self) -> u32 {
        FUNCTIONS + self.number
    }
}

impl Drop for Uid {
    fn drop(&mut self) {
        self.slots.taken.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_islands_never_share_an_id_and_a_returned_one_is_used_again() {
        let slots = UidPool::new(true);
        let (one, two) = (slots.take().unwrap(), slots.take().unwrap());
        assert_ne!(one.host_id(), two.host_id());
        let freed = one.host_id();
        drop(one);
        assert_eq!(slots.take().unwrap().host_id(), freed);
    }

    #[test]
    fn an_ordinary_user_has_no_ids_to_give() {
        assert!(UidPool::new(false).take().is_none());
        assert_eq!(UidPool::new(false).tool_id(Purpose::Build), None);
    }
}
