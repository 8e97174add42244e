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

use super::{App, error};
use crate::invoke::{Code, Failure, Form, Invocation, Reply, Stage, Times};

/// The longest body, in bytes.
const BODY_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);

pub(super) const REVISION: HeaderName = HeaderName::from_static("x-revision");
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What a call that succeeded answers.
#[derive(Serialize)]
pub(crate) struct Success {
    timestamp: u64,
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

/// The handler.
pub(super) async fn run(State(app): State<App>, body: Body) -> Response {
    let id = error::call_id();
    let parsed = match read(body).await {
        // A server that ends has read the body all the same: the answer would be lost with an unread one.
        Ok(_) if app.phase.is_draining() => Err(error::ends(Stage::Request)),
        Ok(bytes) => Form::from_json(&bytes).and_then(|form| form.parse()),
        Err(failure) => Err(failure),
    };
    let mut times = Times::default();
    let result = match parsed {
        Ok(call) => {
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

async fn read(body: Body) -> Result<axum::body::Bytes, Failure> {
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
    // What is dropped in a hurry kills its island.
    let invoked = app.phase.unless_hurried(app.invoker.invoke(&call, &mut times)).await;
    let result = invoked.unwrap_or_else(|| Err(error::ends(Stage::Run)));
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
