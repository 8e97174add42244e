//! The id of a call, by which clients, operators and the log know it.

use std::fmt;

use uuid::Uuid;

/// A call's id. Ids are in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Uuid);

impl CallId {
    /// An id that no other call has.
    pub(crate) fn mint() -> Self {
        Self(Uuid::now_v7())
    }

    /// The number behind the id.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
