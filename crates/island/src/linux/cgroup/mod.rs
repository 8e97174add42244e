//! Limits that hold for all processes of an island together, by cgroups: version 2, or version 1
//! where version 2 has no controllers.
//!
//! The server makes one group of its own ([`home::CgroupHome`]), named after the server's process.
//! In it a launcher makes a group for each island before the island's first process runs, and
//! removes the group after the island's last process has ended. The next start removes each home
//! whose server is gone. Where the host grants no groups (to an ordinary user without delegation)
//! the limits of each process remain, and `check` reports it.
//!
//! Islands also have equal parts of the processors and the disks ([`share::Share`]), where the host
//! lets the server divide these.

pub(crate) mod delegation;
pub(crate) mod error;
pub(crate) mod group;
pub(crate) mod home;
pub(crate) mod layout;
pub(crate) mod left;
pub(crate) mod manager;
pub(crate) mod share;
#[cfg(test)]
#[path = "../../../../../tests/support/skip.rs"]
mod skip;
pub(crate) mod usage;
