//! The Go build cache in layers, by the go command's own hook: a program that it asks for every entry (`GOCACHEPROG`,
//! since Go 1.24), for hosts whose kernel cannot lay folders over each other.
//!
//! It runs on the build island, beside the compiler, and is trusted no more than that: what it may read and write is
//! what the island may. Requests come one JSON value a line on stdin, answers go to stdout.
//!
//! What must always hold:
//! - it writes to the upper folder alone, and each file aside first, then renamed into place;
//! - an entry that is missing, cut short or garbled in any layer is a miss, never a failure;
//! - each request has one answer; after one that cannot be read there is nobody to answer, and it ends.

mod disk;
mod request;
#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Read, Write};

pub use disk::{Layers, NotAbsolute};
use request::{CacheRequest, Response};

/// The first release whose go command asks such a program without an experiment's being switched on.
pub const SINCE_MINOR: u32 = 24;
/// Bytes of requests that are read at once: what a pipe holds.
pub const BUFFER: usize = 64 << 10;

/// The conversation broke off.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The pipe.
    #[error("the go command cannot be heard or answered")]
    Pipe(#[from] io::Error),
    /// A line that is no request.
    #[error("the go command's request cannot be read")]
    Garbage(#[source] serde_json::Error),
    /// A line without an end.
    #[error("the go command's request is longer than {0} bytes")]
    Long(usize),
}

/// Answers a go command's requests until it has no more.
pub fn serve<R: Read>(
    layers: &Layers,
    mut input: BufReader<R>,
    mut output: impl Write,
) -> Result<(), CacheError> {
    Response::hello().write(&mut output)?;
    output.flush()?;
    loop {
        // Whoever waits for an answer gets it before we wait for a question.
        if !request::is_whole(input.buffer()) {
            output.flush()?;
        }
        let Some(request) = request::read(&mut input)? else { break };
        let id = request.id;
        if request.body > 0 {
            output.flush()?;
        }
        let response = match request.ask {
            Ok(CacheRequest::Get(action)) => match layers.get(&action) {
                Some(hit) => Response::hit(id, hit),
                None => Response::miss(id),
            },
            Ok(CacheRequest::Put { action, output, size }) => {
                let stored = request::body(&mut input, size, |body| {
                    layers.put(&action, &output, size, body)
                });
                stored.map_or_else(
                    |error| Response::refused(id, error.to_string()),
                    |path| Response::stored(id, path),
                )
            }
            Ok(CacheRequest::Close) => {
                Response::done(id).write(&mut output)?;
                break;
            }
            Err(why) => {
                // Its body, if there is one, is nobody's.
                let _ = request::body(&mut input, request.body, |_| Ok(()));
                Response::refused(id, why)
            }
        };
        response.write(&mut output)?;
    }
    Ok(output.flush()?)
}
