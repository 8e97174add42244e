//! `POST /api/v1/function`: runs one call.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{PROBLEM, Problem};
use super::{App, error};
use crate::invoke::{Code, Failure, Form, Invocation, Reply, Stage, Times};

/// The longest body, in bytes.
const BODY_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);

const REVISION: HeaderName = HeaderName::from_static("x-revision");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What a call that succeeded answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Success {
    /// Seconds since 1970.
    timestamp: u64,
    /// What the function printed, and then its results as fmt.Print prints them.
    data: String,
    /// `base64` where the data is no text in UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    encoding: Option<&'static str>,
}

/// Run a function
///
/// Fetches and compiles what is not known yet, and runs the call on an island of its own. The header X-Call-Id names the
/// call, X-Revision what ran, Server-Timing where the time went. A body without a content type is JSON.
#[utoipa::path(post, path = "/api/v1/function", operation_id = "callFunction", tag = "functions", request_body = Form,
    responses(
        (status = 200, body = Success, description = "What the function printed and returned"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A bad request, url, call, version or import"),
        (status = 404, body = Problem, content_type = PROBLEM, description = "No such repository, package, version or function"),
        (status = 408, body = Problem, content_type = PROBLEM, description = "The body did not arrive in time"),
        (status = 409, body = Problem, content_type = PROBLEM, description = "An operator ended the island"),
        (status = 413, body = Problem, content_type = PROBLEM, description = "The body is too large"),
        (status = 422, body = Problem, content_type = PROBLEM, description = "The package or the function failed"),
        (status = 500, body = Problem, content_type = PROBLEM, description = "The server failed"),
        (status = 501, body = Problem, content_type = PROBLEM, description = "This server lends no addresses"),
        (status = 502, body = Problem, content_type = PROBLEM, description = "The source's host failed"),
        (status = 503, body = Problem, content_type = PROBLEM, description = "There is no room now; Retry-After says when to try again"),
        (status = 504, body = Problem, content_type = PROBLEM, description = "A deadline passed"),
    ))]
pub(super) async fn run(State(app): State<App>, body: Body) -> Response {
    let number = Uuid::now_v7();
    let id = number.to_string();
    let parsed = match read(body).await {
        Ok(bytes) => Form::from_json(&bytes).and_then(|form| form.parse()),
        Err(failure) => Err(failure),
    };
    let mut times = Times::default();
    let result = match parsed {
        Ok(call) => {
            let call = Invocation { id: Some(number), ..call };
            // A client that hangs up drops the wait, not the work.
            let work = tokio::spawn(app.calls.track_future(work(app.clone(), call, id.clone())));
            match work.await {
                Ok((result, spent)) => {
                    times = spent;
                    result
                }
                Err(lost) => {
                    tracing::error!(call = %id, reason = %lost, "failed");
                    Err(Failure::internal(Stage::Run, std::sync::Arc::new(lost)))
                }
            }
        }
        Err(failure) => {
            app.metrics.refusal(failure.code.as_str());
            tracing::info!(call = %id, code = failure.code.as_str(), detail = %failure.detail, "refused");
            Err(failure)
        }
    };
    let mut response = match &result {
        Ok(reply) => Json(Success::now(&reply.data)).into_response(),
        Err(failure) => error::answer(failure, &id),
    };
    add_headers(response.headers_mut(), &id, result.as_ref().ok(), &times);
    response
}

pub(super) async fn read(body: Body) -> Result<axum::body::Bytes, Failure> {
    match timeout(BODY_WAIT, axum::body::to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => {
            let detail = format!("a request has at most {BODY_BYTES} bytes");
            Err(Failure::new(Code::TooLarge, Stage::Request, detail))
        }
        Ok(Err(error)) => {
            let detail = format!("the body cannot be read: {error}");
            Err(Failure::new(Code::Malformed, Stage::Request, detail))
        }
        Err(_) => {
            let detail = format!("the body did not arrive within {BODY_WAIT:?}");
            Err(Failure::new(Code::Slow, Stage::Request, detail))
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if cause.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        next = cause.source();
    }
    false
}

async fn work(app: App, call: Invocation, id: String) -> (Result<Reply, Failure>, Times) {
    let mut times = Times::default();
    let result = app.invoker.invoke(&call, &mut times).await;
    let code = result.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok");
    app.metrics.call(code, &times);
    report(&call, &id, &result, &times);
    (result, times)
}

/// One line a call; a failure with its whole chain.
fn report(call: &Invocation, id: &str, result: &Result<Reply, Failure>, times: &Times) {
    let ms = |span: Duration| (span.as_secs_f64() * 1000.0 * 1000.0).round() / 1000.0;
    let module = &call.want.path;
    match result {
        Ok(reply) => tracing::info!(
            call = %id, %module, revision = %reply.revision,
            queue = ms(times.queue), fetch = ms(times.fetch), build = ms(times.build),
            start = ms(times.start), run = ms(times.run), "answered"
        ),
        Err(failure) if failure.code == Code::Internal => tracing::error!(
            call = %id, %module, stage = failure.stage.as_str(), reason = %failure.chain(), "failed"
        ),
        Err(failure) => tracing::info!(
            call = %id, %module, code = failure.code.as_str(), stage = failure.stage.as_str(),
            reason = %failure.chain(), "failed"
        ),
    }
}

impl Success {
    /// Text as it is, anything else in base64.
    pub(crate) fn now(data: &[u8]) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = since.map_or(0, |since| since.as_secs());
        let (data, encoding) = match std::str::from_utf8(data) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (base64::engine::general_purpose::STANDARD.encode(data), Some("base64")),
        };
        Self { timestamp, data, encoding }
    }
}

fn add_headers(headers: &mut HeaderMap, id: &str, reply: Option<&Reply>, times: &Times) {
    let mut add = |name, value: &str| {
        // Ids, revisions and numbers are plain ASCII.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    add(error::CALL_ID, id);
    if let Some(reply) = reply {
        add(REVISION, reply.revision.as_str());
    }
    let part = |(stage, span): (Stage, Duration)| {
        format!("{};dur={:.3}", stage.as_str(), span.as_secs_f64() * 1000.0)
    };
    add(SERVER_TIMING, &times.stages().map(part).join(", "));
}
