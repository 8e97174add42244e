//! Answers in JSON, with the content type of 2017.
//!
//! What must always hold: the type names the encoding. Clients of 2017 that find none guess one, and guess wrong.

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
            // What could not be written is no JSON.
            && kind == "application/json"
        {
            *kind = TYPE;
        }
        response
    }
}
