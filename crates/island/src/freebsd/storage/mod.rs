//! What the roots of islands are made of, so that no byte is copied for a call.
//!
//! A function's islands have read-only views of one artifact: a clone of the base system with the
//! program in it, made once and kept for the next call. A tool's root is a clone of the build jail,
//! which is prepared and then made read-only.
//!
//! Invariants: the dataset of a tool's root has its island's name. The caller that asks for it
//! destroys it with [`Storage::destroy`], whether it was made, failed, or its future was dropped. A
//! dataset without an island's or an artifact's name is never touched.

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
pub use roots::{ArtifactLease, Root, Storage};

#[cfg(test)]
mod tests;
