//! The id of a call, which the answer, the admin API and the log name.

use std::fmt;

use uuid::Uuid;

/// The id of a call. Ids sort by time.
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
