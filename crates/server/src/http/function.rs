//! `POST /api/v1/function`: runs one call.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use crate::calls::{Collected, Finished, FunctionRequest, Stage, Times};
use crate::http::app::App;
use crate::http::error::{PROBLEM, Problem};
use crate::http::json::Json;
use crate::http::peer::Peer;
use crate::http::{body, error};
use crate::principal::Principal;

pub(super) const REVISION: HeaderName = HeaderName::from_static("x-revision");
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The answer of a call that succeeded.
#[derive(Serialize, ToSchema)]
pub struct Success {
    /// Seconds since 1970.
    timestamp: u64,
    /// What the function printed, then its results as fmt.Print prints them.
    data: String,
    /// `base64` if the data is not valid UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    encoding: Option<&'static str>,
}

/// Run a function
///
/// Fetches and compiles the package where the caches do not have it, and runs the call on an island
/// of its own. The header X-Call-Id names the call, X-Revision the revision that ran, and
/// Server-Timing the time of each stage. A body without a content type is read as JSON.
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
        (status = 501, body = Problem, content_type = PROBLEM, description = "This server has no addresses for islands"),
        (status = 502, body = Problem, content_type = PROBLEM, description = "The source's host failed"),
        (status = 503, body = Problem, content_type = PROBLEM, description = "The server is busy; Retry-After says when to try again"),
        (status = 504, body = Problem, content_type = PROBLEM, description = "A time limit passed"),
    ))]
pub(super) async fn run(State(app): State<App>, peer: Peer, body: Body) -> Response {
    let principal = Principal::from(peer);
    let parsed = body::read(body).await;
    let parsed = parsed.and_then(|bytes| FunctionRequest::from_json(&bytes)?.parse());
    let finished = match parsed {
        Ok(request) => app.calls.run(principal, request, Collected::default()).await,
        Err(failure) => app.calls.refuse(principal, failure),
    };
    answer(finished)
}

fn answer(finished: Finished<Collected>) -> Response {
    let Finished { id, result, trace } = finished;
    let id = id.to_string();
    let mut response = match &result {
        Ok(reply) => Json(Success::now(reply.output.data())).into_response(),
        Err(failure) => error::answer(failure, &id),
    };
    let revision = result.as_ref().ok().map(|reply| reply.revision.as_str());
    add_headers(response.headers_mut(), &id, revision, &trace.times);
    response
}

impl Success {
    /// The answer at this moment. Data in UTF-8 is text, other data is base64.
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

fn add_headers(headers: &mut HeaderMap, id: &str, revision: Option<&str>, times: &Times) {
    let mut add = |name, value: &str| {
        // Ids, revisions and numbers are plain ASCII.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    add(error::CALL_ID, id);
    if let Some(revision) = revision {
        add(REVISION, revision);
    }
    let part = |(stage, span): (Stage, Duration)| {
        format!("{};dur={:.3}", stage.as_str(), span.as_secs_f64() * 1000.0)
    };
    add(SERVER_TIMING, &times.stages().map(part).join(", "));
}
