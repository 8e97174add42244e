//! `GET /healthcheck`: 200 without a body, as in 2017, until the server drains.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::{App, error};

pub(super) async fn check(State(app): State<App>) -> Response {
    if app.phase.is_draining() { error::draining() } else { ().into_response() }
}
