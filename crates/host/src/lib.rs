//! What the program asks of the host by commands and files: processes, ZFS, addresses, and where
//! everything lies.
//!
//! What builds argument vectors and reads text is pure and has no `cfg`; commands are run by an
//! [`Executor`](exec::Executor), which a test replaces by a script or a model of a host.

pub mod exec;
pub mod layout;
pub mod net;
pub mod zfs;
