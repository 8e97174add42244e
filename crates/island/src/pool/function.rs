//! The name of what a warm island can be called for.

/// A function that islands can be warm for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The name of the function, the same for all its revisions. An artifact that comes under the
    /// name of another one ends the warm islands of the former.
    pub name: String,
    /// The artifact.
    pub artifact: String,
}

impl Function {
    /// The package: the first line of the name. The rest may hold a request's body, which the log
    /// must not have.
    pub(crate) fn module(&self) -> &str {
        self.name.lines().next().unwrap_or_default()
    }
}
