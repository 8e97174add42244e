//! `GET /healthcheck`: 200 without a body, as in 2017.

/// Whether the server is up
#[utoipa::path(get, path = "/api/v1/healthcheck", operation_id = "health", tag = "health",
    responses((status = 200, description = "It is; there is no body")))]
pub(super) async fn check() {}

/// Whether the server is up, at the path of 2017
#[utoipa::path(get, path = "/healthcheck", operation_id = "healthOf2017", tag = "health",
    responses((status = 200, description = "It is; there is no body")))]
pub(super) async fn check_of_2017() {}
