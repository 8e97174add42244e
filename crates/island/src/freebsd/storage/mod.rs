//! The roots of islands, each a ZFS clone, so that no byte is copied for a call.
//!
//! A function's root is a clone of its artifact: the base system with the program in it, kept for the
//! next call. A tool's root is a clone of the build jail, which is prepared and then made read-only.
//!
//! Invariants: a root's dataset has its island's name. The caller that asks for a root destroys it
//! with [`Storage::destroy`], whether the root was made, failed, or its future was dropped. A dataset
//! without an island's name is never touched.

mod artifacts;
mod cache;
mod error;
mod folder;
mod key;
mod keys;
mod leftovers;
mod pool;
mod roots;

pub use error::StorageError;
pub use folder::{Open, PROGRAM_PATH, open_mounted};
pub use leftovers::Leftovers;
pub use roots::{Root, Storage};

#[cfg(test)]
mod tests;
