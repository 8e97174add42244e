//! Whose system calls a filter judges.

/// Whose calls a filter judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A tool of the host, which runs no stranger's code.
    Tool,
    /// A function.
    Function(FunctionCaller),
}

/// A function, as far as that decides which calls it may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FunctionCaller {
    /// The function has an address.
    pub(crate) has_network: bool,
    /// The device files are the island's own, so that a lock on one is seen by no other process.
    pub(crate) has_own_devices: bool,
    /// A control group counts the island's memory, whatever kind of memory it is.
    pub(crate) is_counted: bool,
}
