//! The name of what a warm island can be called for.

/// A function that islands can be warm for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The same for a function whatever its revision: when another artifact comes under this name, what stands by for the
    /// former one is ended.
    pub name: String,
    /// Its artifact.
    pub artifact: String,
}

impl Function {
    /// What the log calls it, which has no bodies of requests: the first line of its name.
    pub(crate) fn module(&self) -> &str {
        self.name.lines().next().unwrap_or_default()
    }
}
