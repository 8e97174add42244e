//! Building: from a [`Checkout`](crate::source::Checkout) and a [`Call`](goexpr::Call) to an [`Artifact`].
//!
//! The compiler runs on a build island: no network, the source read-only, one folder for the result, and a Go build
//! cache in layers, of which only the topmost, the checkout's own, can be written. So one module's builds can never
//! change what another's reads.

mod artifact;
mod builder;
pub mod cacheprog;
mod compiler;
mod diagnose;
mod follow;
mod gocache;
mod job;
mod key;
mod layering;
mod program;
mod ran;
mod receiver;
mod recipe;
mod remembered;
mod render;
mod shape;
mod stdlib;
mod toolchain;

pub use artifact::Artifact;
pub use builder::{Builder, BuilderOptions, Built, CachedProgram, Wanted};
pub use compiler::{BuildError, Compiler};
pub use diagnose::Complaint;
pub use follow::{FollowError, follow};
pub use gocache::GoCache;
pub use stdlib::is_standard;
pub use toolchain::{Toolchain, ToolchainError};
