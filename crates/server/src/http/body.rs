//! The body of a request: bounded in size and in time.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes};
use common::units::{Size, Span};
use tokio::time::timeout;

use crate::calls::{Code, Failure, Stage};

/// The longest body, in bytes.
const BODY_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// Reads a whole body.
pub(super) async fn read(body: Body) -> Result<Bytes, Failure> {
    let refuse = |code, detail| Err(Failure::new(code, Stage::Request, detail));
    match timeout(BODY_WAIT, axum::body::to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if exceeds_limit(&error) => {
            let limit = Size(BODY_BYTES as u64);
            refuse(Code::TooLarge, format!("the body exceeds the limit of {limit}; shorten it"))
        }
        Ok(Err(error)) => refuse(Code::Malformed, format!("the body cannot be read: {error}")),
        Err(_) => {
            let limit = Span(BODY_WAIT);
            refuse(Code::Slow, format!("the body did not arrive within {limit}; send it at once"))
        }
    }
}

fn exceeds_limit(error: &axum::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        next = cause.source();
    }
    false
}
