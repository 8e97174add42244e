//! Why a cache program ended.

use std::io;

/// Why the conversation with the go command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The pipe failed.
    #[error("the pipes to the go command cannot be read or written")]
    Pipe(#[from] io::Error),
    /// A line is no request.
    #[error("a request of the go command cannot be parsed")]
    Garbage(#[source] serde_json::Error),
    /// A line is too long.
    #[error("a request of the go command is longer than {0} bytes")]
    Long(usize),
}
