//! Building: from a [`Checkout`](crate::source::Checkout) and a [`Call`](goexpr::Call) to an
//! [`Artifact`].
//!
//! The compiler runs on a build island: no network, the source read-only, one folder for the
//! result, and a Go build cache in layers. Only the topmost layer, the checkout's own, can be
//! written, so the builds of one module never change what the builds of another read.

mod artifact;
mod artifacts;
mod build_trace;
mod builder;
pub mod cacheprog;
mod compiler;
mod diagnostics;
mod error;
mod gocache;
mod job;
mod key;
mod layering;
mod output;
mod program;
mod receiver;
mod render;
mod replay;
mod request;
mod shape;
mod stdlib;
mod toolchain;
mod ttl_cache;

pub use artifact::Artifact;
pub use artifacts::CachedProgram;
pub use builder::{Builder, BuilderOptions, Built};
pub use compiler::{BUILD_PROCESSES, Compiler};
pub use diagnostics::Diagnostic;
pub use error::BuildError;
pub use gocache::GoCache;
pub use replay::{ReplayError, replay};
pub use request::BuildRequest;
pub use stdlib::is_standard;
pub use toolchain::{Toolchain, ToolchainError};
