//! `GET /metrics`: all metrics in the format of Prometheus; and the count of all requests.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::app::App;
use crate::metrics::CONTENT_TYPE;

/// All metrics, in the format of Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "numbers", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain", description = "Names, types and units: docs/metrics.md")))]
pub(super) async fn show(State(app): State<App>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        Body::from(app.metrics.recent_prometheus().to_string()),
    )
}

/// Counts an answer and its time, around all routes.
pub(super) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let response = next.run(request).await;
    app.metrics.request(response.status().as_u16(), began.elapsed());
    response
}
