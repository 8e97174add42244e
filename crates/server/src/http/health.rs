//! `GET /healthcheck`: 200 without a body, as in 2017, until the server drains.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::error::{self, PROBLEM, Problem};
use crate::http::app::App;

/// Whether the server is up
#[utoipa::path(get, path = "/api/v1/healthcheck", operation_id = "health", tag = "health",
    responses(
        (status = 200, description = "The server is up; the answer has no body"),
        (status = 503, body = Problem, content_type = PROBLEM, description = "The server is stopping, and refuses calls"),
    ))]
pub(super) async fn check(State(app): State<App>) -> Response {
    if app.calls.phase().is_draining() { error::draining() } else { ().into_response() }
}

/// Whether the server is up, at the path of 2017
#[utoipa::path(get, path = "/healthcheck", operation_id = "healthOf2017", tag = "health",
    responses(
        (status = 200, description = "The server is up; the answer has no body"),
        (status = 503, body = Problem, content_type = PROBLEM, description = "The server is stopping, and refuses calls"),
    ))]
pub(super) async fn check_of_2017(app: State<App>) -> Response {
    check(app).await
}
