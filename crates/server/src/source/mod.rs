//! Source: from an import path and a version to a [`Checkout`] on disk.
//!
//! [`Sources`] is what the rest uses: it knows what each version meant when it was last looked up, keeps checkouts, and
//! sends a fetch worker to an island for what is missing. The server itself never parses a pack, a zip or a page.

mod checkout;
mod fetch;
mod path;
mod resolution;
mod sources;
mod version;

pub use checkout::Checkout;
pub(crate) use checkout::short_hex;
pub use fetch::{Fetcher, SourceError};
pub use fetch_job::{Mirror, Origin};
pub use path::{ImportPath, PathError};
pub use sources::{CachedSource, Sources, SourcesBounds, SourcesOptions};
pub use version::{Revision, Version, VersionError};

/// What a call wants: a package, at a version, with further packages of its module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackageRequest {
    /// The package that is called.
    pub path: ImportPath,
    /// None for the newest.
    pub version: Option<Version>,
    /// Sorted, and none of the standard library.
    pub imports: Vec<ImportPath>,
}
