//! What each fuzz target does with its bytes. The test `tests/corpora.rs` has this file too, and
//! gives each target the inputs that are kept in `corpus/`.
//!
//! A target fails by a panic: the code under test must never panic, and each target checks what
//! must hold for an input that is accepted.

pub mod calls;
pub mod commands;
pub mod configuration;
pub mod heads;
pub mod modules;
pub mod packets;
pub mod packs;
pub mod paths;
pub mod references;
pub mod trees;
pub mod versions;
pub mod wire;

/// A target: it is given bytes, and panics where they break a promise.
pub type Target = fn(&[u8]);

/// All targets, by the names of their folders in `corpus/`.
pub const TARGETS: [(&str, Target); 12] = [
    ("calls", calls::check),
    ("commands", commands::check),
    ("configuration", configuration::check),
    ("heads", heads::check),
    ("modules", modules::check),
    ("packets", packets::check),
    ("packs", packs::check),
    ("paths", paths::check),
    ("references", references::check),
    ("trees", trees::check),
    ("versions", versions::check),
    ("wire", wire::check),
];
