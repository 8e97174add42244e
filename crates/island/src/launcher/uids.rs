//! The host's user ids behind the users of islands. Two islands never share an id at the same time.
//!
//! Only root can give an island another user. All islands of an ordinary user have that user's id,
//! and only their namespaces keep them apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::spec::Purpose;

/// The first id of a range that no distribution gives to users or containers by default. Up to
/// [`FUNCTIONS`] the ids are a backend's own.
pub(crate) const FIRST: u32 = 1_398_341_632;
/// The first id of a function's island.
const FUNCTIONS: u32 = FIRST + 16;

pub(crate) struct UidPool {
    root: bool,
    taken: Mutex<BTreeSet<u32>>,
}

/// The id of one island. Dropping it makes the id free.
pub(crate) struct Uid {
    pool: Arc<UidPool>,
    number: u32,
}

impl UidPool {
    pub(crate) fn new(root: bool) -> Arc<Self> {
        Arc::new(Self { root, taken: Mutex::default() })
    }

    /// Takes the lowest free id; none where the server is not root.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Uid> {
        if !self.root {
            return None;
        }
        let mut taken = self.taken.lock();
        let number = (0..).find(|number| !taken.contains(number))?;
        taken.insert(number);
        Some(Uid { pool: self.clone(), number })
    }

    /// The id of all islands of a tool, which also owns what they write on disk; none where the
    /// server is not root.
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
        self.pool.taken.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_islands_never_share_an_id_and_a_returned_one_is_used_again() {
        let pool = UidPool::new(true);
        let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
        assert_ne!(one.host_id(), two.host_id());
        let freed = one.host_id();
        drop(one);
        assert_eq!(pool.take().unwrap().host_id(), freed);
    }

    #[test]
    fn an_ordinary_user_has_no_ids() {
        assert!(UidPool::new(false).take().is_none());
        assert_eq!(UidPool::new(false).tool_id(Purpose::Build), None);
    }
}
