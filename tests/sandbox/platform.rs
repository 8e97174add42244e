//! What the two systems do not promise alike, by design: one file for each, with the same names in
//! it. What one of them cannot promise at all has a reason here, which a test prints.

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(not(target_os = "freebsd"))]
mod linux;

#[cfg(target_os = "freebsd")]
pub use freebsd::*;
#[cfg(not(target_os = "freebsd"))]
pub use linux::*;

/// A promise that this system keeps, or why it does not.
pub type Given = Result<(), &'static str>;
