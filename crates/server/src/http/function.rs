//! `POST /api/v1/function`: runs one call.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{PROBLEM, Problem};
use super::json::Json;
use super::{App, error, report};
use crate::calls::{CallRequest, FunctionRequest};
use crate::calls::{CallTrace, Reply, Times};
use crate::calls::{Code, Failure, Stage};

/// The longest body, in bytes.
const BODY_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);

pub(super) const REVISION: HeaderName = HeaderName::from_static("x-revision");
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What a call that succeeded answers.
#[derive(Serialize, ToSchema)]
pub struct Success {
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
#[utoipa::path(post, path = "/api/v1/function", operation_id = "callFunction", tag = "functions", request_body = FunctionRequest,
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
        // A server that ends has read the body all the same: the answer would be lost with an unread one.
        Ok(_) if app.phase.is_draining() => Err(error::ends(Stage::Request)),
        Ok(bytes) => FunctionRequest::from_json(&bytes).and_then(|form| form.parse()),
        Err(failure) => Err(failure),
    };
    let (result, trace) = match parsed {
        Ok(call) => {
            let call = CallRequest { id: Some(number), ..call };
            let (ended, answer) = oneshot::channel();
            // A client that hangs up drops the wait, not the work.
            app.tasks.spawn(work(app.clone(), call, id.clone(), ended));
            answer.await.unwrap_or_else(|_| {
                let failure = Failure::internal(Stage::Run, Arc::new(Lost));
                report::lost(&app.metrics, &id, &failure);
                (Err(failure), CallTrace::default())
            })
        }
        Err(failure) => {
            report::no_call(&app.metrics, &id, &failure);
            (Err(failure), CallTrace::default())
        }
    };
    let mut response = match &result {
        Ok(reply) => Json(Success::now(&reply.data)).into_response(),
        Err(failure) => error::answer(failure, &id),
    };
    add_headers(response.headers_mut(), &id, result.as_ref().ok(), &trace.times);
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

/// The work for a call ended without a result.
#[derive(Debug, thiserror::Error)]
#[error("the work for it panicked; the log has the place")]
struct Lost;

/// How a call ended: its answer or why there is none, and how it went.
type Ended = (Result<Reply, Failure>, CallTrace);

/// Runs a call to its end, hands that to whoever waits, and counts and logs it behind the answer.
async fn work(app: App, call: CallRequest, id: String, waiting: oneshot::Sender<Ended>) {
    let mut trace = CallTrace::default();
    // What is dropped in a hurry kills its island.
    let invoked = app.phase.unless_forced(app.calls.invoke(&call, &mut trace)).await;
    let result = invoked.unwrap_or_else(|| Err(error::ends(Stage::Run)));
    let failure = result.as_ref().err().cloned();
    // A client that has hung up waits for nothing.
    let _ = waiting.send((result, trace.clone()));
    // Whoever waits is next on this thread.
    tokio::task::yield_now().await;
    report::call(&app.metrics, &id, &call, &trace, failure.as_ref());
}

impl Success {
    /// Text as it is, anything else in base64.
    pub fn now(data: &[u8]) -> Self {
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
