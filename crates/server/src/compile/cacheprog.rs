//! The Go build cache in layers, by the go command's own hook: a program that it asks for every
//! entry (`GOCACHEPROG`, since Go 1.24), for hosts whose kernel cannot lay folders over each other.
//!
//! The program runs on the build island, beside the compiler, and is trusted no more than the
//! compiler: it can read and write what the island can. Requests come one JSON value a line on
//! stdin, responses go to stdout.
//!
//! Invariants:
//! - the program writes to the upper folder alone, and each file aside first, then renamed into
//!   place;
//! - an entry that is missing, cut short or garbled in any layer is a miss, never a failure;
//! - each request has one response; a request that cannot be read ends the program.

mod disk;
mod error;
mod request;

pub use error::CacheError;
#[cfg(test)]
mod tests;

use std::io::{BufReader, Read, Write};

pub use disk::{Layers, NotAbsolute};
use request::{CacheRequest, Response};

/// Bytes of requests that are read at once: what a pipe holds.
pub const BUFFER: usize = 64 << 10;

/// Answers a go command's requests until it has no more.
pub fn serve<R: Read>(
    layers: &Layers,
    mut input: BufReader<R>,
    mut output: impl Write,
) -> Result<(), CacheError> {
    Response::hello().write(&mut output)?;
    output.flush()?;
    loop {
        // Responses are flushed before this waits for the next request.
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
                // The body of a refused request is skipped.
                let _ = request::body(&mut input, request.body, |_| Ok(()));
                Response::refused(id, why)
            }
        };
        response.write(&mut output)?;
    }
    Ok(output.flush()?)
}
