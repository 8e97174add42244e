//! Failures as answers: `application/problem+json` (RFC 9457), and the only table of status codes.

use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::json::Json;
use crate::calls::{Code, Failure, Stage};

/// A new id for a request. Ids sort by time.
pub(super) fn call_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The header with a call's id.
pub(super) const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");

/// How long a client should wait before it asks a busy server again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The status of each code.
fn status(code: Code) -> StatusCode {
    match code {
        Code::Malformed
        | Code::UnknownField
        | Code::Url
        | Code::Call
        | Code::VersionText
        | Code::Parameter
        | Code::Imports => StatusCode::BAD_REQUEST,
        Code::NotFound | Code::Repository | Code::Package | Code::Version | Code::Function => {
            StatusCode::NOT_FOUND
        }
        Code::Origin => StatusCode::FORBIDDEN,
        Code::Method => StatusCode::METHOD_NOT_ALLOWED,
        // No client reads the answer to a call that it has abandoned.
        Code::Slow | Code::Abandoned => StatusCode::REQUEST_TIMEOUT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::Host => StatusCode::MISDIRECTED_REQUEST,
        Code::Build
        | Code::Panicked
        | Code::Exited
        | Code::Signaled
        | Code::OutOfMemory
        | Code::Output
        | Code::MainPackage
        | Code::Cgo
        | Code::NewerGo
        | Code::Module
        | Code::SourceSize => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Killed | Code::InUse => StatusCode::CONFLICT,
        Code::Source => StatusCode::BAD_GATEWAY,
        Code::OverShare => StatusCode::TOO_MANY_REQUESTS,
        Code::Busy | Code::Draining | Code::NoAddress => StatusCode::SERVICE_UNAVAILABLE,
        Code::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Code::NoNetwork => StatusCode::NOT_IMPLEMENTED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The content type of a [`Problem`].
pub(super) const PROBLEM: &str = "application/problem+json";

/// Why a request failed (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    /// `urn:sky-island:` and the code.
    r#type: String,
    /// A short title, the same for every problem of this code.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What failed, which limit or key decides it, and what to do.
    detail: &'a str,
    /// The kind of failure, for programs.
    code: &'a str,
    /// The stage that failed: `request`, `queue`, `fetch`, `build`, `start` or `run`.
    stage: &'a str,
    /// The id of the request in the server's log.
    call_id: &'a str,
    /// The title again, for clients of 2017.
    error: &'a str,
}

/// The failure of a request that is not a call.
pub(super) struct Refused(pub(super) Failure);

impl Refused {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Failure::new(code, Stage::Request, detail))
    }

    /// A failure of the server. The client does not learn the cause; the log has it.
    pub(super) fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Failure::internal(Stage::Request, std::sync::Arc::new(cause)))
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let id = call_id();
        if self.0.code == Code::Internal {
            tracing::error!(call = %id, reason = %self.0.chain(), "failed");
        }
        answer(&self.0, &id)
    }
}

/// The answer to an admin request without the token, byte for byte as in 2017.
#[derive(Serialize, ToSchema)]
pub(super) struct Forbidden {
    /// `Forbidden`.
    error: &'static str,
}

pub(super) fn forbidden() -> Response {
    (StatusCode::FORBIDDEN, Json(Forbidden { error: "Forbidden" })).into_response()
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
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// The answer of a server that is stopping.
pub(super) fn draining() -> Response {
    answer(&Failure::draining(Stage::Request), &call_id())
}

pub(super) async fn no_such_resource(uri: Uri) -> Response {
    nothing_at(uri.path())
}

pub(super) fn nothing_at(path: &str) -> Response {
    let detail =
        format!("there is no resource at {path:.200}; functions are called at /api/v1/function");
    answer(&Failure::new(Code::NotFound, Stage::Request, detail), &call_id())
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    no_method_at(&method, uri.path())
}

pub(super) fn no_method_at(method: &Method, path: &str) -> Response {
    let detail =
        format!("{path:.200} has no method {method}; /api/v1/openapi.json lists the methods");
    answer(&Failure::new(Code::Method, Stage::Request, detail), &call_id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::Fault;

    #[test]
    fn the_status_says_which_side_is_at_fault() {
        for code in Code::ALL {
            let status = status(*code);
            match code.fault() {
                Fault::Caller => {
                    assert!(status.is_client_error() || *code == Code::NoNetwork, "{code:?}")
                }
                Fault::Function => {
                    assert!(status.is_client_error() || *code == Code::Deadline, "{code:?}")
                }
                Fault::Operator => assert_eq!(status, StatusCode::CONFLICT),
                Fault::Busy => {
                    let expected = match code {
                        Code::OverShare => StatusCode::TOO_MANY_REQUESTS,
                        _ => StatusCode::SERVICE_UNAVAILABLE,
                    };
                    assert_eq!(status, expected);
                }
                Fault::Upstream => assert_eq!(status, StatusCode::BAD_GATEWAY),
                Fault::Server => assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
    }
}
