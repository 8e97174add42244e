//! Failures as answers: `application/problem+json` (RFC 9457), and the only table of status codes.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::invoke::{Code, Failure, Stage};

/// A new id for a call, in the order of time.
pub(super) fn call_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The header with a call's id.
pub(super) const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");

/// How long a client that met a full server should wait, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The status of each code.
fn status(code: Code) -> StatusCode {
    match code {
        Code::Malformed
        | Code::UnknownField
        | Code::Url
        | Code::Call
        | Code::VersionText
        | Code::Imports => StatusCode::BAD_REQUEST,
        Code::NotFound | Code::Repository | Code::Package | Code::Version | Code::Function => {
            StatusCode::NOT_FOUND
        }
        Code::Method => StatusCode::METHOD_NOT_ALLOWED,
        Code::Slow => StatusCode::REQUEST_TIMEOUT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Build
        | Code::Panicked
        | Code::Exited
        | Code::Killed
        | Code::OutOfMemory
        | Code::Output
        | Code::MainPackage
        | Code::Cgo
        | Code::NewerGo
        | Code::Module
        | Code::SourceSize => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Source => StatusCode::BAD_GATEWAY,
        Code::Busy | Code::Draining | Code::NoAddress => StatusCode::SERVICE_UNAVAILABLE,
        Code::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Code::NoNetwork => StatusCode::NOT_IMPLEMENTED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    stage: &'a str,
    call_id: &'a str,
    /// What clients of 2017 read.
    error: &'a str,
}

/// The answer to a call that failed.
pub(super) fn answer(failure: &Failure, call_id: &str) -> Response {
    let status = status(failure.code);
    let title = failure.code.title();
    let problem = Problem {
        r#type: format!("urn:sky-island:{}", failure.code.as_str()),
        title,
        status: status.as_u16(),
        detail: &failure.detail,
        code: failure.code.as_str(),
        stage: failure.stage.as_str(),
        call_id,
        error: title,
    };
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(call_id) {
        headers.insert(CALL_ID, id);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// Why a server that ends runs no call.
pub(super) fn ends(stage: Stage) -> Failure {
    Failure::new(Code::Draining, stage, "the server is stopping; try again, or another one")
}

/// The answer of a server that ends.
pub(super) fn draining() -> Response {
    answer(&ends(Stage::Request), &call_id())
}

pub(super) async fn no_such_resource(uri: Uri) -> Response {
    let detail = format!(
        "there is nothing at {:.200}; functions are called at /api/v1/function",
        uri.path()
    );
    answer(&Failure::new(Code::NotFound, Stage::Request, detail), &call_id())
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let detail = format!("{:.200} has no method {method}", uri.path());
    answer(&Failure::new(Code::Method, Stage::Request, detail), &call_id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoke::Fault;

    #[test]
    fn the_status_says_whose_fault_it_is() {
        for code in Code::ALL {
            let status = status(*code);
            match code.fault() {
                Fault::Caller => {
                    assert!(status.is_client_error() || *code == Code::NoNetwork, "{code:?}")
                }
                Fault::Function => {
                    assert!(status.is_client_error() || *code == Code::Deadline, "{code:?}")
                }
                Fault::Busy => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
                Fault::Upstream => assert_eq!(status, StatusCode::BAD_GATEWAY),
                Fault::Ours => assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
    }
}
