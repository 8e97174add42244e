//! The result of a source that has the version.

/// A checkout, or none because the server has that revision already.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SourceOutcome {
    /// The files were written. `root` is the import path of the top folder.
    Checkout {
        /// The import path of the top folder.
        root: String,
        /// The commit, or the module version.
        revision: String,
    },
    /// The server has this revision.
    Unchanged {
        /// The commit, or the module version.
        revision: String,
    },
}
