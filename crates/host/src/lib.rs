//! Access to the host by commands and files: processes, ZFS, addresses, and the layout of datasets.
//! The code that builds argument vectors and reads text is pure and has no `cfg`. An
//! [`Executor`](exec::Executor) runs commands; a test replaces it by a script or a model of a host.

pub mod exec;
pub mod layout;
pub mod net;
pub mod zfs;
