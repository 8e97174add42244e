//! The stages of a call.

/// A stage of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading the request.
    Request,
    /// Waiting for an execution slot.
    Queue,
    /// Getting the source.
    Fetch,
    /// Compiling.
    Build,
    /// Making the island.
    Start,
    /// Running the function.
    Run,
}

impl Stage {
    /// The stage's name in answers, headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Queue => "queue",
            Self::Fetch => "fetch",
            Self::Build => "build",
            Self::Start => "start",
            Self::Run => "run",
        }
    }
}
