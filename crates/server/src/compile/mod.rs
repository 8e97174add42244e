//! Building: from a [`Checkout`](crate::source::Checkout) and a [`Call`](goexpr::Call) to an [`Artifact`].
//!
//! The compiler runs on a build island: no network, the source read-only, one folder for the result, and a Go build
//! cache in layers, of which only the topmost, the checkout's own, can be written. So one module's builds can never
//! change what another's reads.

mod artifact;
mod build_trace;
mod builder;
pub mod cacheprog;
mod compiler;
mod diagnostics;
mod gocache;
mod job;
mod key;
mod layering;
mod output;
mod program;
mod receiver;
mod render;
mod replay;
mod shape;
mod stdlib;
mod toolchain;
mod ttl_cache;

pub use artifact::Artifact;
pub use builder::{BuildRequest, Builder, BuilderOptions, Built, CachedProgram};
pub use compiler::{BuildError, Compiler};
pub use diagnostics::Diagnostic;
pub use gocache::GoCache;
pub use replay::{ReplayError, follow};
pub use stdlib::is_standard;
pub use toolchain::{Toolchain, ToolchainError};
