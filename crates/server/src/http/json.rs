//! Answers in JSON, with the content type of 2017.
//!
//! Invariants: the content type names the encoding. Without it, clients of 2017 guess a wrong
//! encoding.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

const TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// A body in JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.0).into_response();
        if let Some(kind) = response.headers_mut().get_mut(header::CONTENT_TYPE)
            // An answer that cannot be written as JSON has another type.
            && kind == "application/json"
        {
            *kind = TYPE;
        }
        response
    }
}
