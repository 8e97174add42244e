//! Requests of the go command to a cache program, and responses. The field names are those of
//! `cmd/go/internal/cacheprog`.

use std::io::{self, BufRead, ErrorKind, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use serde::{Deserialize, Serialize};

use super::disk::{Hit, Id};
use super::error::CacheError;

/// The longest request, in bytes; the go command's requests have less than 200.
const REQUEST_BYTES: usize = 4096;
/// The longest body, in bytes: more than any compiled package has.
const BODY_BYTES: u64 = 1 << 30;

/// A request.
pub(super) struct Request {
    /// The response repeats the id.
    pub(super) id: i64,
    /// The command, or why it is not understood.
    pub(super) ask: Result<CacheRequest, String>,
    /// Bytes of the body that follows in a line of its own; none follows an empty one.
    pub(super) body: u64,
}

/// The command of a request.
pub(super) enum CacheRequest {
    /// The output of an action.
    Get(Id),
    /// Keep the output of an action; the body follows, unless it is empty.
    Put { action: Id, output: Id, size: u64 },
    /// End.
    Close,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    #[serde(rename = "ID")]
    id: i64,
    command: String,
    #[serde(default, rename = "ActionID")]
    action_id: String,
    #[serde(default, rename = "OutputID")]
    output_id: String,
    #[serde(default)]
    body_size: i64,
}

impl Line {
    fn ask(&self) -> Result<CacheRequest, String> {
        match self.command.as_str() {
            "get" => Ok(CacheRequest::Get(id("ActionID", &self.action_id)?)),
            "put" => {
                let action = id("ActionID", &self.action_id)?;
                let output = id("OutputID", &self.output_id)?;
                let size = u64::try_from(self.body_size).ok().filter(|size| *size <= BODY_BYTES);
                let size = size.ok_or_else(|| {
                    format!("a body has {} bytes, at most {BODY_BYTES} are kept", self.body_size)
                })?;
                Ok(CacheRequest::Put { action, output, size })
            }
            "close" => Ok(CacheRequest::Close),
            other => Err(format!("the command {other:?} was not announced")),
        }
    }
}

fn id(name: &str, text: &str) -> Result<Id, String> {
    let bytes = STANDARD.decode(text).ok();
    let id = bytes.and_then(|bytes| Id::new(&bytes));
    id.ok_or_else(|| format!("the {name} {text:?} is no SHA-256 in base64"))
}

/// Whether a request can be read from these bytes without waiting for more.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().contains(&b'\n')
}

/// The next request; none at the end of the input.
pub(super) fn read(input: &mut impl BufRead) -> Result<Option<Request>, CacheError> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = input.by_ref().take(REQUEST_BYTES as u64).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        // The go command ends a request with an empty line.
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if length == REQUEST_BYTES && line.last() != Some(&b'\n') {
            return Err(CacheError::Long(REQUEST_BYTES));
        }
        let line: Line = serde_json::from_slice(&line).map_err(CacheError::Garbage)?;
        let body = u64::try_from(line.body_size).unwrap_or(0);
        return Ok(Some(Request { id: line.id, ask: line.ask(), body }));
    }
}

/// Lets `keep` read and decode the body that follows a request, then skips the rest of the body
/// even when `keep` fails.
pub(super) fn body<T>(
    input: &mut impl BufRead,
    size: u64,
    keep: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    if size == 0 {
        return keep(&mut io::empty());
    }
    while let [first, ..] = input.fill_buf()? {
        match first {
            b'"' => {
                input.consume(1);
                let quoted = Quoted { input: &mut *input, ended: false };
                let kept = keep(&mut DecoderReader::new(quoted, &STANDARD));
                input.skip_until(b'\n')?;
                return kept;
            }
            byte if byte.is_ascii_whitespace() => input.consume(1),
            _ => break,
        }
    }
    Err(io::Error::new(ErrorKind::InvalidData, "no body follows the request"))
}

/// The rest of a quoted text without escapes, up to the closing quote; a line end before it is an
/// error.
struct Quoted<'a, R> {
    input: &'a mut R,
    ended: bool,
}

impl<R: BufRead> Read for Quoted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let found = self.input.fill_buf()?;
        let found = &found[..found.len().min(buffer.len())];
        let end = found.iter().position(|byte| matches!(byte, b'"' | b'\n'));
        let length = end.unwrap_or(found.len());
        if length > 0 {
            buffer[..length].copy_from_slice(&found[..length]);
        } else if found.first() == Some(&b'"') {
            self.ended = true;
        } else {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the body ends before its closing quote",
            ));
        }
        self.input.consume(length + usize::from(self.ended));
        Ok(length)
    }
}

/// A response.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Response {
    #[serde(rename = "ID")]
    id: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    err: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    known_commands: &'static [&'static str],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    miss: bool,
    #[serde(rename = "OutputID", skip_serializing_if = "String::is_empty")]
    output_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    disk_path: String,
}

fn is_zero(size: &u64) -> bool {
    *size == 0
}

impl Response {
    /// The first message, which answers no request.
    pub(super) fn hello() -> Self {
        Self { known_commands: &["get", "put", "close"], ..Self::default() }
    }

    /// The response to a request that needs no result.
    pub(super) fn done(id: i64) -> Self {
        Self { id, ..Self::default() }
    }

    pub(super) fn miss(id: i64) -> Self {
        Self { id, miss: true, ..Self::default() }
    }

    /// The time of the entry is left out: the go command needs it for test results only.
    pub(super) fn hit(id: i64, hit: Hit) -> Self {
        let output_id = STANDARD.encode(hit.output.bytes());
        Self { id, output_id, size: hit.size, disk_path: hit.path, ..Self::default() }
    }

    pub(super) fn stored(id: i64, path: String) -> Self {
        Self { id, disk_path: path, ..Self::default() }
    }

    pub(super) fn refused(id: i64, why: String) -> Self {
        Self { id, err: why, ..Self::default() }
    }

    /// Writes the response as one line.
    pub(super) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *output, self)?;
        output.write_all(b"\n")
    }
}
