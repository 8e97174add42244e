//! `POST /api/v1/admin/warm`: fetches, builds and keeps islands warm for a call to come.

use axum::body::Body;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::calls::FunctionRequest;
use crate::http::admin::answer::AdminAnswer;
use crate::http::admin::answer::note;
use crate::http::admin::query::NoParameters;
use crate::http::app::App;
use crate::http::body;
use crate::http::error::{Forbidden, PROBLEM, Problem};
use crate::http::json::Json;
use crate::http::peer::Peer;
use crate::principal::Principal;

/// The result of warming.
#[derive(Serialize, ToSchema)]
pub(super) struct Warm {
    /// The revision that the version means.
    revision: String,
    /// The id of the program's artifact; empty for a call in its exact form that was not cached
    /// yet.
    artifact: String,
    /// Warm islands that are ready.
    islands: usize,
    fetch_sec: f64,
    build_sec: f64,
    start_sec: f64,
}

/// Fetch, compile and keep islands warm for a call to come
#[utoipa::path(post, path = "/warm", operation_id = "warm", tag = "admin", security(("token" = [])),
    request_body = FunctionRequest,
    responses(
        (status = 200, body = Warm, description = "The function is ready; its islands stay warm as long as after a call"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A bad request, url, call, version or import"),
        (status = 403, body = Forbidden, description = "The token is wrong or missing"),
        (status = 404, body = Problem, content_type = PROBLEM, description = "No such repository, package, version or function"),
        (status = 409, body = Problem, content_type = PROBLEM, description = "An operator ended the island that was fetching or building"),
        (status = 413, body = Problem, content_type = PROBLEM, description = "The body is too large"),
        (status = 422, body = Problem, content_type = PROBLEM, description = "The package does not build"),
        (status = 502, body = Problem, content_type = PROBLEM, description = "The source's host failed"),
        (status = 503, body = Problem, content_type = PROBLEM, description = "The server is busy"),
        (status = 504, body = Problem, content_type = PROBLEM, description = "A time limit passed"),
    ))]
pub(super) async fn warm(
    State(app): State<App>,
    peer: Peer,
    _: NoParameters,
    body: Body,
) -> AdminAnswer<Warm> {
    let bytes = body::read(body).await?;
    let request = FunctionRequest::from_json(&bytes)?.parse()?;
    note(peer, format_args!("warms {}", request.package.path));
    let (warmed, times) = app.calls.warm(Principal::Admin, request).await?;
    Ok(Json(Warm {
        revision: warmed.revision.to_string(),
        artifact: warmed.artifact,
        islands: warmed.islands,
        fetch_sec: times.fetch.as_secs_f64(),
        build_sec: times.build.as_secs_f64(),
        start_sec: times.start.as_secs_f64(),
    }))
}
