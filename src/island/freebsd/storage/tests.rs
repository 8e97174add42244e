//! The commands of storage, and what it does when each of them fails.
