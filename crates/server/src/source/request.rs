//! Which package a call needs.

use crate::source::path::ImportPath;
use crate::source::version::Version;

/// The package that a call needs, at a version, with further packages of its module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackageRequest {
    /// The package that is called.
    pub path: ImportPath,
    /// None for the newest.
    pub version: Option<Version>,
    /// Sorted, and none of the standard library.
    pub imports: Vec<ImportPath>,
}
